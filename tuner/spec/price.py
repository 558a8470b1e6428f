"""Price: what an hour of a host costs, as a section of the study file."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tuner.hardware import HOST_NAME

HostName = Annotated[str, Field(pattern=f"^{HOST_NAME}$")]
Hourly = Annotated[float, Field(gt=0)]


class Price(BaseModel):
    """What an hour of a host costs. `hosts` are prices by name; `per_hour` is that of all that are not named.

    A host's name is its system's, or what TUNER_HOST says there.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    per_hour: Hourly | None = Field(default=None, description="of every host that is not named")
    hosts: dict[HostName, Hourly] = Field(default={}, description="by the name of a host")
    currency: str = Field(default="USD", pattern=r"^[A-Z]{3}$", description="ISO 4217, for tables")

    @model_validator(mode="after")
    def _some(self) -> Price:
        if self.per_hour is None and not self.hosts:
            raise ValueError("give a `per_hour`, or prices of `hosts` by name")
        return self

    def of(self, host: str) -> float | None:
        """Return what an hour of a host costs, None where nobody said."""
        return self.hosts.get(host, self.per_hour)
