"""Word order: a clause as a main or subordinate clause, a perfect, a modal or a plan.

German puts the finite verb second, or last after a conjunction, and a participle, infinitive or
separated prefix at the end; English keeps subject, verb, complement, adverbials.
"""

from __future__ import annotations

from dataclasses import dataclass

from .bilingual import Phrase, Word, fresh

NONE = Phrase()


@dataclass(frozen=True)
class Clause:
    """The parts of a clause; `verb` is a row of the verb table."""

    subject: Phrase
    verb: tuple[str, ...]
    complement: Phrase
    time: Phrase = NONE
    place: Phrase = NONE

    @property
    def rest(self) -> tuple[Word, ...]:
        """What stands between the German finite verb and the end of the clause."""
        return self.time.de + self.complement.de + self.place.de

    def english(self, *verb: Word, front: bool = False) -> tuple[Word, ...]:
        time = () if front else self.time.en
        return self.subject.en + verb + self.complement.en + self.place.en + time


def words(raw: str, key: frozenset[int]) -> tuple[Word, ...]:
    """The words of a text, all with one key."""
    return tuple(Word(w, key) for w in raw.split())


def main(clause: Clause, front: bool = False) -> Phrase:
    """`Am Montag rief X Y an`, or `X rief am Montag Y an`."""
    _, past, particle, _, en_past, _, _ = clause.verb
    key = fresh()
    finite, prefix = words(past, key), words(particle, key)
    if front and clause.time:
        later = clause.complement.de + clause.place.de
        de = clause.time.de + finite + clause.subject.de + later + prefix
        en = clause.time.en + clause.english(*words(en_past, key), front=True)
        return Phrase(de, en)
    de = clause.subject.de + finite + clause.rest + prefix
    return Phrase(de, clause.english(*words(en_past, key)))


def inverted(clause: Clause) -> Phrase:
    """The main clause after a first part: `... , rief X Y an`."""
    _, past, particle, _, en_past, _, _ = clause.verb
    key = fresh()
    de = words(past, key) + clause.subject.de + clause.rest + words(particle, key)
    return Phrase(de, clause.english(*words(en_past, key)))


def final(clause: Clause) -> Phrase:
    """The subordinate clause: `X am Montag Y anrief`."""
    _, past, particle, _, en_past, _, _ = clause.verb
    key = fresh()
    de = clause.subject.de + clause.rest + words(particle + past, key)
    return Phrase(de, clause.english(*words(en_past, key)))


def pluperfect(clause: Clause) -> Phrase:
    """The clause after `nachdem`: `X am Montag Y angerufen hatte`."""
    had, key = fresh(), fresh()
    de = clause.subject.de + clause.rest + words(clause.verb[3], key) + words("hatte", had)
    return Phrase(de, clause.english(*words("had", had), *words(clause.verb[6], key)))


def perfect(clause: Clause) -> Phrase:
    """`X hat am Montag Y angerufen`; English has no time phrase beside its perfect."""
    have, key = fresh(), fresh()
    de = clause.subject.de + words("hat", have) + clause.complement.de + clause.place.de
    de += words(clause.verb[3], key)
    en = clause.subject.en + words("has", have) + words(clause.verb[6], key)
    return Phrase(de, en + clause.complement.en + clause.place.en)


def modal(clause: Clause, both: str) -> Phrase:
    """`X will Y anrufen`."""
    german, english = both.split("|")
    aux, key = fresh(), fresh()
    de = clause.subject.de + words(german, aux) + clause.complement.de + clause.place.de
    en = clause.subject.en + words(english, aux) + words(clause.verb[5], key)
    return Phrase(de + words(clause.verb[0], key), en + clause.complement.en + clause.place.en)


def planned(clause: Clause, both: str) -> Phrase:
    """`X versucht , Y anzurufen`."""
    german, english = both.split("|")
    infinitive, particle = clause.verb[0], clause.verb[2]
    joined = f"{particle}zu{infinitive.removeprefix(particle)}" if particle else f"zu {infinitive}"
    head, key = fresh(), fresh()
    de = clause.subject.de + words(german, head) + (Word(","),) + clause.complement.de
    en = clause.subject.en + words(english, head) + words(f"to {clause.verb[5]}", key)
    de += clause.place.de + words(joined, key)
    return Phrase(de, en + clause.complement.en + clause.place.en)
