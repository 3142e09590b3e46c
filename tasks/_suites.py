"""Named sets of tasks. A board of a suite has all of its tasks: its mean is blank where one is missing."""

from bench import registry

_OPEN_OPERA = (
    "covid_uk.exhalation",
    "covid_uk.cough",
    "coughvid.covid",
    "coughvid.sex",
    "icbhi.disease2",
    "coswara.smoker",
    "coswara.sex",
    "kauh.obstructive",
    "copd.severity",
)

ABOUT = {
    "quick": "a first look, adult and paediatric lung sounds",
    "core": "lung sounds of ICBHI and SPRSound, and from one to the other; the published leaderboard",
    "opera": "OPERA's nine tasks on open data (T1, T2, T5 to T11): coughs, breaths, lung sounds",
    "ood": "out of domain: another corpus, another device, another channel than the training data's",
    "all": "everything, data on application included",
}
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
    "opera": _OPEN_OPERA,  # T1, T2 and T5 to T11; the others need an application, and are in "all"
    "ood": (
        "transfer.icbhi-sprsound",
        "transfer.sprsound-icbhi",
        "icbhi.cycles4@lodo-AKGC417L",
        "icbhi.cycles4@lodo-LittC2SE",
        "icbhi.cycles4@lodo-Litt3200",
        "icbhi.cycles4@lodo-Meditron",
        "transfer.coughvid.sex-to-coswara.sex",  # OPERA's T6 to T9
        "transfer.icbhi.disease2-to-kauh.obstructive",  # T7 to T10
        "transfer.covid19_cough.call_centre-to-covid19_cough.messaging_app",
    ),
    "all": tuple(registry.ids(registry.TASKS)),
}
