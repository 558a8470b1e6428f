"""Compensate: fit the matrix behind removed groups or neurons to what is left of its input."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

FILE = "moments.safetensors"
LIMIT = 2 * 2**30  # bytes on disk; a model whose moments take more is cut without compensation
#: Of the mean diagonal. Least squares alone (0.01) fit the calibration text and lost more on other text than the plain
#: cut; SmolLM2 without a quarter of its neurons had least perplexity at 0.3 (0.1, 1 and 10 were tried too).
RIDGE = 0.3


class Moments:
    """The second moments of the inputs of each consumer, from a folder of `importance`, where it has them.

    With X (tokens, inputs) the consumer's inputs on calibration text, G = XᵀX, K the kept inputs and R the others,
    the weights V that minimise ‖XWᵀ - X_K Vᵀ‖² + λ‖V - W_K‖² are V = W_K + W_R G[R, K] (G[K, K] + λI)⁻¹: closed form,
    from the unpruned model's inputs alone; the penalty draws them to the plain cut. Layer-wise reconstruction as in
    Kwon et al. 2022 (arXiv 2204.09656, section 4.3) and OSSCAR (arXiv 2403.12983, section 2.1).
    """

    def __init__(self, importance: Path) -> None:
        self._file = importance / FILE
        self.held = self._file.exists()

    def fit(
        self, axis: str, layer: int, consumer: nn.Module, count: int, keep: torch.Tensor
    ) -> torch.Tensor | None:
        """Return the consumer's weight (outputs, kept inputs), None where there are no moments.

        `keep` are the numbers of the units that stay of `count`; a unit is some inputs that lie side by side.
        """
        if not self.held:
            return None
        with safe_open(self._file, "pt") as stored:
            gram = stored.get_tensor(f"{axis}.{layer}")
        index = torch.arange(len(gram)).view(count, -1)[keep].flatten()
        gone = torch.ones(len(gram), dtype=torch.bool).index_fill_(0, index, False)
        kept = gram[index][:, index].double()
        kept.diagonal().add_(RIDGE * kept.diagonal().mean())
        weight = consumer.weight.double()
        lost = gram[index][:, gone].double() @ weight[:, gone].T
        return (weight[:, index] + torch.linalg.solve(kept, lost).T).float()


class MomentsSum:
    """Adds up XᵀX of what flows into each consumer while it watches."""

    def __init__(self) -> None:
        self._sums: dict[str, torch.Tensor] = {}

    def watch(self, axis: str, layer: int, consumer: nn.Module) -> None:
        """Gather the inputs (…, inputs) of a linear layer, under these names."""
        name = f"{axis}.{layer}"
        self._sums[name] = torch.zeros(consumer.in_features, consumer.in_features)

        def add(_: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
            flat = inputs[0].detach().flatten(0, -2).float()
            self._sums[name].addmm_(flat.T, flat)

        consumer.register_forward_pre_hook(add)

    def save(self, folder: Path) -> None:
        """Write the sums, fp32, one matrix for each axis and layer."""
        save_file(self._sums, folder / FILE)

    @staticmethod
    def size(widths: list[int]) -> int:
        """Return the bytes on disk that consumers of these widths take."""
        return sum(4 * width**2 for width in widths)
