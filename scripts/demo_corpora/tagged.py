"""Tagged sentences: tokens with IOB2 tags, their spans, their frames and their files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

Span = tuple[int, int, str]


@dataclass(frozen=True)
class Sentence:
    """A tokenised sentence with one IOB2 tag a token."""

    tokens: tuple[str, ...]
    tags: tuple[str, ...]

    def spans(self) -> list[Span]:
        """The entities as (start, end, label), end exclusive."""
        spans: list[Span] = []
        for i, tag in enumerate(self.tags):
            if tag.startswith("B-"):
                spans.append((i, i + 1, tag[2:]))
            elif tag.startswith("I-"):
                start, end, label = spans[-1]
                if end != i or label != tag[2:]:
                    raise ValueError(f"not IOB2: {tag} at token {i} of {self.tokens}")
                spans[-1] = (start, i + 1, label)
        return spans

    def mentions(self) -> list[tuple[str, str]]:
        """The entities as (text, label)."""
        return [(" ".join(self.tokens[i:j]), label) for i, j, label in self.spans()]

    def frame(self) -> str:
        """The sentence with each entity replaced by a slot that names its label."""
        out: list[str] = []
        for token, tag in zip(self.tokens, self.tags, strict=True):
            if tag == "O":
                out.append(token)
            elif tag.startswith("B-"):
                out.append(f"<{tag[2:]}>")
        return " ".join(out)


def write_conll(path: Path, sentences: Iterable[Sentence]) -> None:
    """Write `token<TAB>tag` lines, with a blank line after each sentence."""
    lines: list[str] = []
    for sentence in sentences:
        lines += [f"{w}\t{t}" for w, t in zip(sentence.tokens, sentence.tags, strict=True)]
        lines.append("")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(("\n".join(lines) + "\n").encode("utf-8"))


def read_conll(path: Path) -> Iterator[Sentence]:
    """Read what `write_conll` wrote."""
    rows: list[tuple[str, str]] = []
    for line in path.read_text(encoding="utf-8").split("\n"):
        if line:
            word, tag = line.split("\t")
            rows.append((word, tag))
        elif rows:
            yield Sentence(tuple(w for w, _ in rows), tuple(t for _, t in rows))
            rows = []
