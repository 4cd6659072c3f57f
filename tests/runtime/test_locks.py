"""Locks of running processes."""

from pathlib import Path

from kmpl.runtime.locks import is_held, try_hold


def test_who_comes_second_does_not_wait_and_who_comes_later_gets_it(tmp_path: Path) -> None:
    lock = tmp_path / "locks" / "one.lock"
    with try_hold(lock) as first, try_hold(lock) as second:
        assert first
        assert not second
        assert is_held(lock)
    with try_hold(lock) as later:
        assert later
    assert not is_held(lock)
