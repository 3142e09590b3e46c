"""Where corpora come from: a row per corpus. What their licences say and what is made of them is the tasks' matter.

No address here is pinned by a checksum unless its row has one; GitHub archives are pinned by commit instead.
"""

from __future__ import annotations

from dataclasses import dataclass

from bench import registry
from bench.errors import UnknownId
from bench.types import TaskCard

_GITHUB = "https://github.com"
_MENDELEY = "https://data.mendeley.com/public-api/zip"
_ICBHI = "https://bhichallenge.med.auth.gr/sites/default/files/ICBHI_final_database"
_SPRSOUND_COMMIT = "174500e401f4ebf54061414c2fe082c7dccfb9d2"
_COSWARA_COMMIT = "bf300ae9dc47918be4a30de90436fe7563fafb45"


@dataclass(frozen=True)
class Remote:
    """A file of a corpus; an archive is unpacked. ``digest`` is ``sha256:…`` or ``md5:…``, empty where none is
    known. ``optional`` says what is lacking without the file, where a corpus is of use without it."""

    name: str
    urls: tuple[str, ...] = ()
    digest: str = ""
    optional: str = ""


@dataclass(frozen=True)
class Dataset:
    """A corpus of the task family ``name`` and the folder it goes to. ``inner``: archives inside its archive are
    unpacked too. ``by_hand`` says how to get what has no address to download from, or where the address fails."""

    name: str
    folder: str
    files: tuple[Remote, ...]
    inner: bool = False
    by_hand: str = ""

    @property
    def cards(self) -> list[TaskCard]:
        """The cards of its tasks."""
        return [card for card in registry.cards(registry.TASKS) if card.id.startswith(f"{self.name}.")]


_OPEN = (
    Dataset(
        "icbhi",
        "ICBHI",
        (
            Remote(
                "ICBHI_final_database.zip",
                (f"{_ICBHI}/ICBHI_final_database.zip",),
                digest="md5:f6a5d0ea40bbcd25e17754f9d5ddae48",
            ),
            *(
                Remote(name, (f"{_ICBHI}/{name}",), optional=lacking)
                for name, lacking in (
                    ("ICBHI_challenge_train_test.txt", "the split is taken from the shipped table"),
                    ("ICBHI_Challenge_diagnosis.txt", "icbhi.disease2 and icbhi.disease3 cannot be run"),
                    ("ICBHI_Challenge_demographic_information.txt", "sex and age group stay unknown"),
                )
            ),
        ),
        by_hand="download ICBHI_final_database.zip in a browser from https://bhichallenge.med.auth.gr, or from its "
        "copy at https://doi.org/10.7910/DVN/HT6PKI",
    ),
    Dataset(
        "sprsound",
        "SPRSound",
        (Remote("sprsound.zip", (f"{_GITHUB}/SJTU-YONGFU-RESEARCH-GRP/SPRSound/archive/{_SPRSOUND_COMMIT}.zip",)),),
    ),
    Dataset(
        "covid_uk",
        "covid_uk",
        (Remote("covid_data.zip"),),
        by_hand="the archive at https://zenodo.org/records/10043978 is cut into parts (covid_data.zip, covid_data.z01, "
        "…): download them all and join them by `zip -s 0 covid_data.zip --out whole.zip`",
    ),
    Dataset(
        "coughvid",
        "coughvid",
        (
            Remote(
                "public_dataset.zip",
                ("https://zenodo.org/records/4048312/files/public_dataset.zip?download=1",),
                digest="md5:5c30a8b00c8bb7783a2c15a48cb8ea9e",
            ),
        ),
    ),
    Dataset(
        "coswara",
        "Coswara",
        (Remote("coswara.zip", (f"{_GITHUB}/iiscleap/Coswara-Data/archive/{_COSWARA_COMMIT}.zip",)),),
        inner=True,
    ),
    Dataset("kauh", "KAUH", (Remote("kauh.zip", (f"{_MENDELEY}/jwyy9np4gv/download/3",)),), inner=True),
    Dataset("copd", "COPD", (Remote("copd.zip", (f"{_MENDELEY}/p9z4h98s6j/download/1",)),), inner=True),
    Dataset(
        "hf_lung",
        "HF_Lung_V1",
        (
            Remote(
                "hf_lung.zip",
                ("https://gitlab.com/techsupportHF/HF_Lung_V1/-/archive/master/HF_Lung_V1-master.zip",),
            ),
        ),
        inner=True,
    ),
)


def datasets() -> dict[str, Dataset]:
    """{name: data set}: those above, and every task family whose data are given out on application only."""
    listed = {dataset.name: dataset for dataset in _OPEN}
    for card in registry.cards(registry.TASKS):
        family = card.id.partition(".")[0]
        if card.access != "open" and family != "transfer":
            listed.setdefault(family, Dataset(family, family, (Remote(family),), True, f"apply for it: {card.access}"))
    return listed


def dataset(name: str) -> Dataset:
    """Raises ``UnknownId``."""
    if name not in (listed := datasets()):
        raise UnknownId("data set", name, listed)
    return listed[name]
