"""Runs a state machine of nights that nobody thought of: so many of them in every run, the same each time; with the profile `thorough`, thousands of new ones."""

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test


def live_through(machine: type[RuleBasedStateMachine], *, nights: int, steps: int) -> None:
    """`steps`: the most that happens in one night."""
    is_long = settings.get_current_profile_name() == "thorough"
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=settings().max_examples if is_long else nights,
            stateful_step_count=steps,
            deadline=None,
            derandomize=not is_long,
            phases=(Phase.explicit, Phase.generate),
            suppress_health_check=list(HealthCheck),
        ),
    )
