"""What a sound file says of its length, beside what is there."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Length:
    """The samples of a file, in bytes.

    Attributes
    ----------
    claimed
        What the header claims; None where it says "until the end of the file", or nothing.
    there
        What the file holds from the first sample on.
    block
        Bytes that only make sense together: the samples of one instant, or a packet of a compressed file.
    framed
        Whether a block is the samples of one instant.
    patches
        {offset: bytes} that turn the header into one that says how long the file is.
    begin
        Offset before which nothing is read; the other offsets count from there.
    end
        Offset behind which nothing is read; None: the end of the file.
    lead
        Bytes that are put in front, so that the decoder knows how long the file is.
    on_disk
        Whether the decoder takes such a file from a disk alone.
    to_end
        Whether all that is there is decoded, whatever the header claims.
    doubt
        What is missing, or not read, whatever the header claims.
    contradiction
        What in the header makes decoders take the samples for others than they are.
    """

    claimed: int | None
    there: int
    block: int
    framed: bool
    patches: dict[int, bytes] = field(default_factory=dict)
    begin: int = 0
    end: int | None = None
    lead: bytes = b""
    on_disk: bool = False
    to_end: bool = False
    doubt: str | None = None
    contradiction: str | None = None

    @property
    def shortage(self) -> str | None:
        """What is missing or not read where the header claims another length than is there, told without decoding."""
        if self.doubt or self.claimed is None or self.claimed == self.there:
            return self.doubt
        lacks = shortage if self.claimed > self.there else surplus
        if self.framed:
            return lacks(self.claimed // self.block, self.there // self.block)
        return lacks(self.claimed, self.there, "bytes of samples")

    @property
    def changes(self) -> bool:
        """Whether the decoder is to see another content than the file's."""
        return bool(self.patches or self.begin or self.end or self.lead)

    def promised(self, decoded: int) -> int | None:
        """Samples per channel that the header promises; None where it does not say.

        ``decoded`` samples are there; of a compressed file it is an estimate from them.
        """
        if self.claimed is None:
            return None
        if self.framed:
            return self.claimed // self.block
        missing = self.claimed // self.block - self.there // self.block
        return decoded if missing <= 0 else -(-decoded * self.claimed // max(1, self.there))

    def lacking(self, decoded: int) -> str | None:
        """What the samples that the header promises lack of those that are there or promised; ``decoded`` are read."""
        promised = self.promised(decoded)
        if promised is not None and decoded < promised:
            return shortage(promised, decoded)
        if self.to_end and promised is not None and decoded > promised:
            return surplus(promised, decoded)
        return self.shortage

    def applied(self, content: bytes) -> bytes:
        """The file's ``content`` as the decoder is to see it."""
        mended = bytearray(content[self.begin : self.end])
        for at, new in self.patches.items():
            mended[at : at + len(new)] = new
        return self.lead + mended


def shortage(promised: int, there: int, unit: str = "samples") -> str:
    """What is said of a file that holds less than its header promises."""
    return f"is truncated: its header promises {promised} {unit}, {there} are there"


def surplus(promised: int, there: int, unit: str = "samples") -> str:
    """What is said of a file that holds more than its header promises."""
    return f"holds more than is read of it: its header promises {promised} {unit}, {there} are there"
