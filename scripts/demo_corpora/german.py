"""Compose German sentences together with their English translation, each word with its link."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from pathlib import Path

from . import german_lexicon as lex
from .bilingual import Pair, Phrase, Word, finish, fresh, text
from .clauses import Clause, final, inverted, main, modal, perfect, planned, pluperfect, words
from .german_names import GermanNames
from .lists import lines
from .names import SPLITS

FRAMES = Path(__file__).parent / "frames" / "german.txt"
COUNTS = {"train": 1200, "dev": 200, "test": 200}
FIXED = [line for line in lines(FRAMES.read_text(encoding="utf-8")) if line[0] != "#"]
NOM, ACC, DAT = 0, 1, 2
COMMA, STOP, NONE = text(", | ,"), text(". | ."), Phrase()


class Composer:
    """Composes the sentence pairs of one split."""

    def __init__(self, split: str) -> None:
        self.rng = random.Random(f"german/{split}")
        self.names = GermanNames(split)
        self.times: list[str] = []

    # -- noun phrases ---------------------------------------------------------------------------

    def person(self, case: int) -> Phrase:
        rng, female = self.rng, self.rng.random() < 0.5
        man, woman, en_man, en_woman, weak = rng.choice(lex.ROLES)
        role, english = (woman, en_woman) if female else (man, en_man)
        roll = rng.random()
        if roll < 0.3:
            return self.names.person(rng, female)
        if roll < 0.5:
            return self.names.surname(rng)
        if roll < 0.65:
            return text(f"{role} | {english}") + self.names.person(rng, female)
        if roll < 0.75:
            title = "Frau | Mrs" if female else ("Herr | Mr" if case == NOM else "Herrn | Mr")
            return text(title) + self.names.surname(rng)
        if roll < 0.85:
            owner = self.names.surname(rng, genitive=True)
            heads = [h for h in lex.OWNED_BY_PERSON if h[0] not in "P"]
            return owner + text(rng.choice(heads).replace("|", " | "))
        article = [("der", "die"), ("den", "die"), ("dem", "der")][case][female]
        ending = "e" if case == NOM or (female and case == ACC) else "en"
        noun = role if female or case == NOM else weak
        phrase = text(f"{article} | the") + self.names.adjective(rng, ending)
        return phrase + text(f"{noun} | {english}") + self.names.person(rng, female)

    def common(self, case: int) -> Phrase:
        row = self.rng.choice(lex.COMMON)
        return text(f"{row[case]} | {row[3]}")

    def state(self, case: int) -> Phrase:
        if self.rng.random() < 0.5:
            return self.names.country(self.rng)
        head = self.rng.choice(lex.OWNED_BY_COUNTRY).replace("|", " | ")
        return self.names.country(self.rng, genitive=True) + text(head)

    def party(self, case: int) -> Phrase:
        article = "der" if case == DAT else "die"
        return text(f"{article} | the") + self.names.party(self.rng)

    def institute(self, case: int) -> Phrase:
        article = "dem" if case == DAT else "das"
        return text(f"{article} | the") + self.names.institute(self.rng)

    def company(self, case: int) -> Phrase:
        if self.rng.random() < 0.7:
            return self.names.company(self.rng)
        head = self.rng.choice(lex.FIRM_HEADS)
        return text(f"{head[case]} | {head[3]}") + self.names.company(self.rng)

    def official(self, case: int) -> Phrase:
        makers = [self.person, self.person, self.person, self.state, self.party, self.institute]
        return self.rng.choice(makers)(case)

    def anyone(self, case: int) -> Phrase:
        return self.rng.choice([self.person, self.official, self.company])(case)

    # -- clauses --------------------------------------------------------------------------------

    def time(self, chance: float = 0.5) -> Phrase:
        """An adverbial of time that the sentence does not have yet, or none."""
        if self.rng.random() >= chance:
            return NONE
        self.times.append(self.rng.choice([t for t in lex.TIMES if t not in self.times]))
        return text(self.times[-1])

    def place(self, chance: float = 0.3) -> Phrase:
        if self.rng.random() >= chance:
            return NONE
        city = self.names.city(self.rng)
        return self.rng.choice([
            text("in | in") + city,
            text("in | in") + city,
            text("in | in") + self.names.country(self.rng),
            text("bei | near") + city,
            text("im_1 | in_1 the_1") + self.names.valley(self.rng),
        ])  # fmt: skip

    def plain_clause(self) -> Clause:
        """A clause that names nobody."""
        verb = self.rng.choice(lex.VERBS["matter"])
        matter = text(self.rng.choice(lex.MATTERS[verb[0]]))
        return Clause(self.common(NOM), verb, matter, self.time())

    def clause(self, subject: Phrase | None = None) -> Clause:
        """A clause; a given `subject` is taken to be a person, and may be without words."""
        rng = self.rng

        def doer(make: Callable[[], Phrase]) -> Phrase:
            return make() if subject is None else subject

        kinds = ["person_acc", "person_acc", "person_dat", "matter", "matter", "sport"]
        kind = rng.choice(kinds if subject is not None else [*kinds, "firm", "works", "club"])
        verb = rng.choice(lex.VERBS[kind])
        place = self.place() if verb[0] in lex.MEETINGS or kind in ("club", "sport") else NONE
        if kind in ("person_acc", "person_dat"):
            case = ACC if kind == "person_acc" else DAT
            whom = self.common(case) if rng.random() < 0.15 else self.official(case)
            made = (doer(lambda: self.anyone(NOM)), whom)
        elif kind == "matter":
            made = (doer(lambda: self.anyone(NOM)), text(rng.choice(lex.MATTERS[verb[0]])))
        elif kind == "firm":
            made = (doer(lambda: self.company(NOM)), self.company(ACC))
        elif kind == "works":
            made = (doer(lambda: self.company(NOM)), text(rng.choice(lex.WORKS)))
            place = self.place(0.8)
        elif kind == "club":
            made = (doer(lambda: self.names.club(rng)), self.names.club(rng))
        else:
            winner = doer(lambda: rng.choice([self.names.club(rng), self.person(NOM)]))
            made = (winner, self.prize(verb[0]))
        return Clause(made[0], verb, made[1], self.time(), place)

    def prize(self, verb: str) -> Phrase:
        if verb not in lex.EVENT_VERBS or self.rng.random() < 0.4:
            return text(self.rng.choice(lex.PRIZES[verb]))
        return text("den | the") + self.names.event(self.rng)

    # -- sentences ------------------------------------------------------------------------------

    def simple(self) -> Phrase:
        return main(self.clause(), front=self.rng.random() < 0.5) + STOP

    def plain(self) -> Phrase:
        clause = self.plain_clause()
        if self.rng.random() < 0.3:
            return modal(clause, self.rng.choice(lex.MODALS)) + STOP
        return main(clause, front=self.rng.random() < 0.5) + STOP

    def perfected(self) -> Phrase:
        return perfect(self.clause()) + STOP

    def with_modal(self) -> Phrase:
        return modal(self.clause(), self.rng.choice(lex.MODALS)) + STOP

    def with_plan(self) -> Phrase:
        return planned(self.clause(), self.rng.choice(lex.PLANS)) + STOP

    def report(self) -> Phrase:
        german, particle, english = self.rng.choice(lex.REPORTS).split("|")
        key, link = fresh(), fresh()
        subject = self.rng.choice([self.person, self.official])(NOM)
        time = NONE if english in ("believes", "knew") else self.time(0.4)
        de = subject.de + words(german, key) + time.de + words(particle, key)
        en = subject.en + words(english, key) + time.en + words("that", link)
        head = Phrase((*de, Word(","), *words("dass", link)), en)
        return head + final(self.clause()) + STOP

    def conjoined(self) -> Phrase:
        main_part = self.clause()
        if self.rng.random() < 0.2:
            conjunction, second = "nachdem | after", pluperfect(self.clause())
        else:
            conjunction = self.rng.choice(lex.CONJUNCTIONS).replace("|", " | ")
            second = final(self.clause())
        if self.rng.random() < 0.4:
            return text(conjunction) + second + COMMA + inverted(main_part) + STOP
        link = text(conjunction)
        return main(main_part) + Phrase((Word(","),)) + link + second + STOP

    def joined(self) -> Phrase:
        link = text(self.rng.choice([", aber | , but", "und | and"]))
        return main(self.clause()) + link + main(self.clause()) + STOP

    def relative(self) -> Phrase:
        female, who = self.rng.random() < 0.5, fresh()
        person = self.names.person(self.rng, female)
        inner = final(self.clause(subject=NONE))
        outer = main(self.clause(subject=NONE))
        pronoun = Phrase(words("die" if female else "der", who), words("who", who))
        return person + COMMA + pronoun + inner + COMMA + outer + STOP

    def quote(self) -> Phrase:
        said = text(self.rng.choice(["sagte | said", "rief | cried", "erklärte | declared"]))
        place = self.place(0.4)
        mark = text('" | "')
        words = text(self.rng.choice(lex.QUOTES))
        return mark + words + COMMA + text('" | "') + said + self.person(NOM) + place + STOP

    def fixed(self) -> Phrase:
        german, english = self.rng.choice(FIXED).split(" | ")
        slots: dict[str, list[Phrase]] = {}
        for name in re.findall(r"\{([A-Z_]+)\}", german):
            slots.setdefault(name, []).append(self._slot(name))
        marks = [w for w in f"{german} | {english}".split() if not w.startswith("{")]
        frame = text(" ".join(marks))
        return Phrase(
            self._fit(german, frame.de, {k: [p.de for p in v] for k, v in slots.items()}),
            self._fit(english, frame.en, {k: [p.en for p in v] for k, v in slots.items()}),
        )

    @staticmethod
    def _fit(pattern: str, words: tuple[Word, ...], slots: dict[str, list[tuple[Word, ...]]]) -> tuple[Word, ...]:
        rest, left = iter(words), {name: iter(fillers) for name, fillers in slots.items()}
        out: tuple[Word, ...] = ()
        for piece in pattern.split():
            out += next(left[piece[1:-1]]) if piece.startswith("{") else (next(rest),)
        return out

    def _slot(self, name: str) -> Phrase:
        rng, names = self.rng, self.names
        high = rng.randint(1, 4)
        low = rng.randrange(high)
        makers: dict[str, Callable[[], Phrase]] = {
            "CITY": lambda: names.city(rng),
            "COUNTRY": lambda: names.country(rng),
            "COMP": lambda: names.company(rng),
            "CLUB": lambda: names.club(rng),
            "PARTY": lambda: self.party(DAT),
            "PER": lambda: names.person(rng, True),
            "PERL": lambda: names.surname(rng),
            "AWARD": lambda: names.award(rng),
            "PRODUCT": lambda: names.product(rng),
            "EVENT": lambda: names.event(rng),
            "VALLEY": lambda: names.valley(rng),
            "ISLAND": lambda: names.island(rng),
            "ADJ_M": lambda: names.adjective(rng, "e"),
            "ADJ_F": lambda: names.adjective(rng, "e"),
            "TIME": lambda: self.time(1.0),
            "NUM": lambda: text("{0},{1} | {0}.{1}".format(rng.randint(0, 19), rng.randint(1, 9))),
            "SCORE": lambda: text(f"{high}:{low} | {high}-{low}"),
        }
        return makers[name]()

    def sentence(self) -> Pair:
        """A sentence pair of a random kind."""
        self.times.clear()
        kinds: dict[Callable[[], Phrase], int] = {
            self.simple: 24, self.plain: 8, self.perfected: 8, self.with_modal: 8,
            self.with_plan: 7, self.report: 12, self.conjoined: 9, self.joined: 5,
            self.relative: 5, self.quote: 5, self.fixed: 24,
        }  # fmt: skip
        return finish(self.rng.choices(list(kinds), list(kinds.values()))[0]())


def german() -> dict[str, list[Pair]]:
    """The splits of the German corpus: sentences of 4 to 30 words, none twice."""
    corpus: dict[str, list[Pair]] = {}
    known: set[str] = set()
    for split in SPLITS:
        composer = Composer(split)
        pairs: list[Pair] = []
        seen: set[str] = set()
        while len(pairs) < COUNTS[split]:
            pair = composer.sentence()
            line, names = " ".join(pair.de.tokens), [m for m, _ in pair.de.mentions()]
            fits = 3 < len(pair.de.tokens) < 31 and len(names) < 6 and len(set(names)) == len(names)
            if fits and line not in seen and (split == "train" or pair.de.frame() not in known):
                seen.add(line)
                pairs.append(pair)
        if split == "train":
            known = {p.de.frame() for p in pairs}
        corpus[split] = pairs
    return corpus
