"""How long a retry within an invocation waits."""

import pytest

from handler.jitter import full_jitter


@pytest.mark.parametrize(("base", "tries", "cap", "longest"), [(1, 0, 9, 1), (1, 3, 9, 8), (1, 4, 9, 9)])
def test_a_wait_is_any_part_of_a_time_that_doubles_with_each_try_up_to_its_cap(
    base: float, tries: int, cap: float, longest: float
) -> None:
    waits = [full_jitter(base, tries, cap) for _ in range(1_000)]
    assert 0 <= min(waits) < 0.1 * longest
    assert 0.9 * longest < max(waits) <= longest
