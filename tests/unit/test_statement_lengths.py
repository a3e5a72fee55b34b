"""Lists of ids in statements: few lengths, every id in one of them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from control_plane.store.rows import chunks


@given(st.sets(st.integers(0, 5_000), max_size=2_000))
def test_every_id_is_in_a_list_and_nothing_else_is(numbers: set[int]) -> None:
    ids = {f"fn_{number:04}" for number in numbers}
    lists = list(chunks(ids))
    assert {identifier for some in lists for identifier in some} == ids
    assert sum(len(set(some)) for some in lists) == len(ids)


def test_a_growing_number_of_ids_needs_few_statements() -> None:
    lengths = {len(some) for count in range(1, 2_000) for some in chunks([str(id_) for id_ in range(count)])}
    assert lengths == {2**power for power in range(10)}
