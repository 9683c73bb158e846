"""The header values of a webhook step may be keys to other systems: only members who may edit workflows read
them, and no log contains them."""

from msgspec.structs import replace

from app.engine.core.steps import Step, StepConfig, Webhook

HIDDEN = "•••"


def hidden(config: StepConfig) -> StepConfig:
    """The config with the names of its headers and without their values."""
    if isinstance(config, Webhook):
        return replace(config, headers=dict.fromkeys(config.headers, HIDDEN))
    return config


def hidden_steps(steps: list[Step]) -> list[Step]:
    """These steps and all inside them, without the values."""
    return [
        replace(
            step,
            config=hidden(step.config),
            lanes={lane: hidden_steps(inside) for lane, inside in step.lanes.items()},
        )
        for step in steps
    ]
