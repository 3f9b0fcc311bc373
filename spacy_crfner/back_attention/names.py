"""Names stand for themselves: a translator sees that there is a name and repeats it, so that no name is lost."""

import random
from typing import Collection, Dict, List, Optional, Sequence, Tuple

from .pieces import NAMES, Word

LONGEST = 5
"""Most words of one name."""

LONG = 40
"""Most characters of a word that is translated."""

PROTECT = ("unknown", "capitalised", "none")


def looks_like_name(word: str) -> bool:
    """Decide whether a word has a capital letter or a digit, and is longer than a letter."""
    return len(word) > 1 and any(character.isupper() or character.isdigit() for character in word)


def shared_names(
    source: Sequence[str], target: Sequence[str], chance: float, random_state: random.Random
) -> Tuple[List[Word], List[Word], Dict[int, List[str]]]:
    """Replace some of the names that are the same in both sentences of a pair by a number.

    Returns both sentences, and the words behind each number.

    chance: of every name to be replaced.
    """
    numbers = random_state.sample(range(NAMES), NAMES)
    new_source: List[Word] = list(source)
    new_target: List[Word] = list(target)
    names: Dict[int, List[str]] = {}
    first = len(new_source) - 1
    # From the back, so that indices in front stay what they are; on both sides, so that a name that comes twice keeps
    # its order.
    while first >= 0 and numbers:
        start, end = _run(new_source, first)
        first = min(first, start) - 1
        if end - start == 0 or random_state.random() >= chance:
            continue
        name = list(source[start:end])
        start_in_target = _find(new_target, name)
        if start_in_target is not None:
            number = numbers.pop()
            new_source[start:end] = [number]
            new_target[start_in_target : start_in_target + len(name)] = [number]
            names[number] = name
    return new_source, new_target, names


def protect(
    words: Sequence[str], known: Collection[str], how: str = "unknown", names: Collection[str] = ()
) -> Tuple[List[Word], List[Tuple[int, int]]]:
    """Replace names in a row by one number, and give the words (start, end) behind each number.

    known: the words that the translator knows. how: `unknown` takes words that look like names and are not known,
        `capitalised` also those that are, but for the first word; `none` only those in `names`. Words of more than
        LONG characters, such as addresses, always stand for themselves.
    """
    chosen = [
        word in names or len(word) > LONG or _is_name(word, index == 0, known, how) for index, word in enumerate(words)
    ]
    shown: List[Word] = []
    spans: List[Tuple[int, int]] = []
    start = 0
    while start < len(words):
        end = start
        while end < len(words) and chosen[end] and end - start < LONGEST:
            end += 1
        if end == start or len(spans) == NAMES:
            shown.append(words[start])
            start += 1
        else:
            shown.append(len(spans))
            spans.append((start, end))
            start = end
    return shown, spans


def _is_name(word: str, first: bool, known: Collection[str], how: str) -> bool:
    if how == "none" or not looks_like_name(word):
        return False
    is_known = word in known or (first and word.lower() in known)
    return not is_known or (how == "capitalised" and not first)


def _run(words: Sequence[Word], last: int) -> Tuple[int, int]:
    """Find the words in a row that look like names, (start, end), up to `last`; empty where that one does not."""
    start = last + 1
    while start > 0 and last + 1 - start < LONGEST:
        word = words[start - 1]
        if isinstance(word, int) or not looks_like_name(word):
            break
        start -= 1
    return start, last + 1


def _find(words: Sequence[Word], wanted: Sequence[str]) -> Optional[int]:
    """Find the index where a sequence of words stands for the last time."""
    for start in range(len(words) - len(wanted), -1, -1):
        if list(words[start : start + len(wanted)]) == list(wanted):
            return start
    return None
