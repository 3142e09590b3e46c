"""OPERA's nineteen tasks under its own numbers: second names of tasks that their corpora define.

Source: Zhang et al., "Towards Open Respiratory Acoustic Foundation Models: Pretraining and Benchmarking", NeurIPS
2024, arXiv:2406.16148. The variant ``literature/opera`` of each is split as the authors' code runs it.
"""

from __future__ import annotations

OPEN = "opera.T1 … opera.T19: the tasks of OPERA by their numbers there, as second names of tasks above"
ALIASES = {
    "opera.T1": "covid_uk.exhalation",
    "opera.T2": "covid_uk.cough",
    "opera.T3": "covid19_sounds.breath",
    "opera.T4": "covid19_sounds.cough",
    "opera.T5": "coughvid.covid",
    "opera.T6": "coughvid.sex",
    "opera.T7": "icbhi.disease2",
    "opera.T8": "coswara.smoker",
    "opera.T9": "coswara.sex",
    "opera.T10": "kauh.obstructive",
    "opera.T11": "copd.severity",
    "opera.T12": "ssbpr.position",
    "opera.T13": "mmlung.deepbreath_fvc",
    "opera.T14": "mmlung.deepbreath_fev1",
    "opera.T15": "mmlung.deepbreath_ratio",
    "opera.T16": "mmlung.vowel_fvc",
    "opera.T17": "mmlung.vowel_fev1",
    "opera.T18": "mmlung.vowel_ratio",
    "opera.T19": "nosemic.rate",
}
CARDS = ()
