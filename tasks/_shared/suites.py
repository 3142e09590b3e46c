"""Named sets of tasks.

A board of a suite has all of its tasks: its mean is blank where one is missing; the suite ``all`` is the registry's.
"""

from bench.types import Suite

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

SUITES: dict[str, Suite] = {
    "quick": Suite("a first look, adult and paediatric lung sounds", ("icbhi.cycles4", "sprsound.events2")),
    "core": Suite(
        "lung sounds of ICBHI and SPRSound, and from one to the other; the published leaderboard",
        (
            "icbhi.cycles4",
            "icbhi.cycles2",
            "sprsound.events2",
            "sprsound.events7",
            "sprsound.records3",
            "sprsound.records5",
            "transfer.icbhi-sprsound",
            "transfer.sprsound-icbhi",
        ),
    ),
    "opera": Suite(
        "OPERA's nine tasks on open data (T1, T2, T5 to T11): coughs, breaths, lung sounds", _OPEN_OPERA
    ),  # T1, T2 and T5 to T11; the others need an application, and are in "all"
    "ood": Suite(
        "out of domain: another corpus, another device, another channel than the training data's",
        (
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
    ),
}
