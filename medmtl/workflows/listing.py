"""What `medmtl methods` prints: what each balancing method is and costs."""

from __future__ import annotations

from dataclasses import fields

from medmtl.optim import argument_names, methods


def method_lines(name: str | None = None) -> list[str]:
    """The table of all methods, or the page of one.

    Raises:
        ConfigError: No method has this name.
    """
    if name is None:
        rows = [methods.get(item).info for item in methods]
        width = max(len(row.name) for row in rows)
        return [
            f"{row.name:{width}}  {row.family:20} {row.backward_passes:>4} backward, {row.extra_forwards} extra forward  [{row.evidence}]"
            for row in rows
        ]
    kind = methods.get(name)
    facts = [f"{field.name.replace('_', ' ')}: {getattr(kind.info, field.name)}" for field in fields(kind.info)]
    return [
        *facts,
        f"arguments: {', '.join(argument_names(kind)) or 'none'}",
        "",
        *(kind.__doc__ or "").strip().splitlines(),
    ]
