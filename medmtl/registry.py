"""One typed registry for everything that is chosen by name: data sources, tasks, encoders, balancing methods."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from medmtl.errors import ConfigError, suggestion

T = TypeVar("T")


class Registry(Generic[T]):
    """Names to objects; refuses duplicates and suggests a name for one that is not known.

    Args:
        kind: What the names name, as it reads in an error: "data source", "method".
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Returns a decorator that enters its object under ``name``."""

        def enter(entry: T) -> T:
            if name in self._entries:
                raise ValueError(f"{self.kind} '{name}' is registered twice")
            self._entries[name] = entry
            return entry

        return enter

    def get(self, name: str, *, where: object = None) -> T:
        """Looks a name up.

        Args:
            name: The name asked for.
            where: The place to name in the error.

        Raises:
            ConfigError: The name is not known.
        """
        if name not in self._entries:
            remedy = suggestion(name, self._entries)
            raise ConfigError(f"unknown {self.kind}", where=where, found=f"'{name}'", remedy=remedy)
        return self._entries[name]

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._entries))

    def __len__(self) -> int:
        return len(self._entries)
