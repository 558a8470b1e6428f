"""One parameter of the space, and its two ways between a value and what Optuna stores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution


@dataclass(frozen=True)
class Choice:
    """A choice among `values` under an Optuna parameter `name`; `field` is the candidate's field it fills.

    `ordered` values are ascending numbers: a model of the space may take neighbours as alike.
    """

    name: str
    field: str
    values: Sequence[Any]
    ordered: bool = True

    @property
    def step(self) -> float | None:
        """Return the even step between the values, None if they have none."""
        if not self.ordered:
            return None
        gaps = [b - a for a, b in zip(self.values, self.values[1:], strict=False)]
        even = all(abs(gap - gaps[0]) < 1e-9 for gap in gaps)
        return round(gaps[0], 9) if even else None


def distribution(choice: Choice) -> BaseDistribution:
    """Return what Optuna draws from: categories, or a range of numbers or indices."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    values, step = choice.values, choice.step
    if not choice.ordered:
        return CategoricalDistribution(list(values))
    if step is None:
        return IntDistribution(0, len(values) - 1)
    if isinstance(values[0], int):
        return IntDistribution(values[0], values[-1], step=int(step))
    return FloatDistribution(values[0], values[-1], step=step)


def from_trial(trial: optuna.Trial, choice: Choice) -> Any:
    """Let the sampler choose a value."""
    values = choice.values
    if len(values) == 1:
        return values[0]
    if not choice.ordered:
        return trial.suggest_categorical(choice.name, list(values))
    drawn = _number(trial, choice)
    if choice.step is None:
        return values[int(drawn)]
    return min(values, key=lambda value: abs(value - drawn))  # 3 x 0.1 is not 0.3


def _number(trial: optuna.Trial, choice: Choice) -> float:
    from optuna.distributions import IntDistribution

    drawn_from: Any = distribution(choice)
    suggest = trial.suggest_int if isinstance(drawn_from, IntDistribution) else trial.suggest_float
    return suggest(choice.name, drawn_from.low, drawn_from.high, step=drawn_from.step)


def to_param(choice: Choice, value: Any) -> Any:
    """Return what Optuna stores for a value: the value itself, or its index where steps are uneven."""
    if choice.ordered and choice.step is None:
        return list(choice.values).index(value)
    return value
