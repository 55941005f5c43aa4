"""Public data sets by name: each reads its official folder into a table in the manifest convention."""

from medmtl.data.sources import diaretdb1, drive_av, folder, hrf_av, idrid, messidor2
from medmtl.data.sources.base import (
    Check,
    Option,
    Source,
    list_sources,
    make_manifest,
    resolve_options,
    sources,
)

__all__ = [
    "Check",
    "Option",
    "Source",
    "diaretdb1",
    "drive_av",
    "folder",
    "hrf_av",
    "idrid",
    "list_sources",
    "make_manifest",
    "messidor2",
    "resolve_options",
    "sources",
]
