"""A clock for what takes the time as a function."""


class Clock:
    """A clock that stands until it is told to move."""

    now = 0.0

    def __call__(self) -> float:
        return self.now
