"""Named sets of tasks."""

SUITES: dict[str, tuple[str, ...]] = {
    "quick": ("icbhi.cycles4", "sprsound.events2"),
    "core": (
        "icbhi.cycles4",
        "icbhi.cycles2",
        "sprsound.events2",
        "sprsound.events7",
        "sprsound.records3",
        "sprsound.records5",
        "transfer.icbhi-sprsound",
        "transfer.sprsound-icbhi",
    ),
    "ood": ("transfer.icbhi-sprsound", "transfer.sprsound-icbhi"),
}
