"""Training settings that follow the size of the data."""

import pytest
import spacy
from spacy.tokens import Doc, DocBin, Span
from spacy.util import load_config, load_model_from_config
from thinc.api import Config

from spacy_crfner.recipes import CorpusSize, make_schedule, measure_corpus, set_value, tailored, with_fine_tuning
from spacy_crfner.shipped_configs import read_config
from spacy_crfner.text_files import CorpusError

CONSTANT = ("bcrf_ner", "back_attention", "untranslated")


def write(path, docs, words=10, entity=True):
    vocab = spacy.blank("en").vocab
    made = [Doc(vocab, words=["Anna"] * words) for _ in range(docs)]
    for doc in made:
        doc.set_ents([Span(doc, 0, 1, label="PER")] if entity else [])
    DocBin(docs=made).to_disk(path)
    return str(path)


def settings(text):
    training = Config().from_str(text)["training"]
    rate = training["optimizer"]["learn_rate"]
    return training["max_steps"], training["eval_frequency"], training["patience"], rate


def test_counts_a_file_and_a_folder(tmp_path):
    write(tmp_path / "a.spacy", 3)
    write(tmp_path / "b.spacy", 2, entity=False)
    assert measure_corpus(tmp_path / "a.spacy") == CorpusSize(3, 30, 3)
    assert measure_corpus(tmp_path) == CorpusSize(5, 50, 3)


@pytest.mark.parametrize("minutes", [None, 2])
@pytest.mark.parametrize("name", CONSTANT)
def test_few_sentences_are_trained_on_for_a_short_time(name, minutes, tmp_path):
    """For a given time, the rate falls to 0 with the last update, which is evaluated. The rest is as it was."""
    train = write(tmp_path / "train.spacy", 146, 14)
    text, remarks = tailored(read_config(name), paths={"train": train, "dev": train}, minutes=minutes)
    steps, frequency, patience, rate = settings(text)
    if minutes is None:
        assert (steps, frequency, patience, rate) == (1000, 100, 400, 0.001)
        assert "about 2 to 3 minutes on two cores" in remarks[1]
    else:
        assert patience == 0 and steps % frequency == 0 and steps // frequency == 10
        assert rate["@schedules"] == "warmup_linear.v1" and rate["total_steps"] == steps
        assert 0 < rate["warmup_steps"] < steps / 10 and "about 2 minutes on two cores" in remarks[1]
    assert "146 docs, 2,044 words, 146 entities" in remarks[0]
    assert f"({frequency / (2044 / 500):,.1f} passes over the data)" in remarks[1]
    # The reason stands in the file too, and what it replaces does not.
    assert all(remark.rstrip(".").split(": ")[1] in " ".join(text.replace("\n#", "").split()) for remark in remarks[:2])
    assert text.count("# It ends so many") == 0
    before, after = Config().from_str(read_config(name)), Config().from_str(text)
    for config in (before, after):
        for key in ("max_steps", "eval_frequency", "patience"):
            del config["training"][key]
        del config["training"]["optimizer"]["learn_rate"]
    assert (after["paths"].pop("train"), after["paths"].pop("dev")) == (train, train)
    del before["paths"]["train"], before["paths"]["dev"]
    after["corpora"] = before["corpora"] = None
    assert after == before


def test_says_what_would_help(tmp_path):
    """Word vectors where text is scarce, those that are not installed, and sentences."""
    vocab = spacy.blank("en").vocab
    texts = ["Ada sang . Bob slept .", "Ada sang ."]
    docs = [Doc(vocab, words=text.split()) for text in texts]
    for doc in docs:
        doc.set_ents([Span(doc, 0, 1, label="PER")])
    DocBin(docs=docs).to_disk(tmp_path / "train.spacy")
    folder = tmp_path / "vectors"
    folder.mkdir()

    def advice(name="bcrf_ner", sentencizer=False, train="train.spacy", vectors=None):
        paths = {"train": train and str(tmp_path / train), "vectors": vectors}
        return tailored(read_config(name, sentencizer=sentencizer), paths=paths)[1]

    for name in ("bcrf_ner", "weak_class"):
        said = " ".join(advice(name))
        assert "No word vectors" in said and "several sentences: 1. Add --sentencizer" in said
        said = " ".join(advice(name, sentencizer=True, vectors=str(folder)))
        assert "word vectors" not in said and "--sentencizer" not in said
    (said,) = advice(train=None, vectors="xx_no_such_md")
    assert said.startswith("xx_no_such_md: ") and said.endswith("python -m spacy download xx_no_such_md")
    (said,) = advice(train=None, vectors="my/vectors")
    assert said.startswith("my/vectors: ") and "download" not in said
    write(tmp_path / "many.spacy", 1000)
    assert len(advice(train="many.spacy")) == 2


def test_the_default_stays_for_thousands_of_sentences():
    """1,840 sentences of CoNLL-2003, and all of it: so the results of the README were made."""
    for words in (32_096, 203_621):
        schedule = make_schedule(CorpusSize(0, words, 1))
        assert (schedule.max_steps, schedule.eval_frequency, schedule.patience) == (20_000, 200, 1600)
        assert schedule.falling is None


def test_large_corpora_are_evaluated_and_waited_for_in_passes():
    schedule = make_schedule(CorpusSize(0, 2_000_000, 1))
    assert schedule.eval_frequency == 2000 and schedule.patience == 16_000 and schedule.max_steps == 80_000


def test_more_data_is_never_trained_on_for_less_time():
    times = [make_schedule(CorpusSize(0, words, 1)).minutes for words in (100, 2000, 9999, 10_000, 10**5, 10**6)]
    assert times == sorted(times) and all(low <= high for low, high in times)


def test_time_decides_where_it_is_given():
    short, long = (make_schedule(CorpusSize(0, 100_000, 1), minutes=minutes) for minutes in (1, 10))
    assert short.falling and 10 * short.max_steps < long.max_steps < 20 * short.max_steps
    assert short.minutes == (pytest.approx(1, rel=0.1),) * 2 and long.minutes == (pytest.approx(10, rel=0.1),) * 2
    with pytest.raises(ValueError, match=r"0\.1 minutes are too few"):
        make_schedule(CorpusSize(0, 100_000, 1), minutes=0.1)


def test_a_large_dev_split_takes_time_too():
    few, many = (make_schedule(CorpusSize(0, 5000, 1), CorpusSize(0, words, 1)) for words in (10, 10**6))
    assert many.minutes > few.minutes and many.max_steps == few.max_steps


def test_what_is_written_trains(tmp_path):
    """The config is filled in and resolved as `spacy train` does, with paths that hold what a config might read."""
    folder = tmp_path / 'it\'s $HOME "here"'
    folder.mkdir()
    train = write(folder / "train.spacy", 10)
    text, _ = tailored(read_config("bcrf_ner"), paths={"train": train, "vectors": "en_core_web_md"}, lang="de")
    (tmp_path / "my.cfg").write_text(text, encoding="utf8")
    nlp = load_model_from_config(load_config(tmp_path / "my.cfg"), auto_fill=True, validate=True)
    config = nlp.config.interpolate()
    assert (config["corpora"]["train"]["path"], config["paths"]["vectors"], nlp.lang) == (train, "en_core_web_md", "de")
    assert all(len(line) <= 120 for line in text.splitlines() if not line.startswith("train = "))


def test_a_config_with_a_rate_of_its_own_keeps_its_settings(tmp_path):
    train = write(tmp_path / "train.spacy", 10)
    text, remarks = tailored(read_config("weak_class"), paths={"train": train})
    assert (
        text == set_value(read_config("weak_class"), "paths", "train", train)
        and "keeps its own training settings" in remarks[0]
    )
    with pytest.raises(ValueError, match="its own falling learning rate"):
        tailored(read_config("weak_class"), paths={"train": train}, minutes=2)


def test_what_cannot_be_followed_is_one_sentence(tmp_path):
    config = read_config("bcrf_ner")
    with pytest.raises(ValueError, match="needs --train"):
        tailored(config, paths={}, minutes=3)
    (tmp_path / "broken.spacy").write_bytes(b"no")
    (tmp_path / "text.conll").write_text("Anna B-PER")
    write(tmp_path / "empty.spacy", 0)
    write(tmp_path / "none.spacy", 3, entity=False)
    for name, reason in (
        ("missing.spacy", "no such file"),
        ("broken.spacy", "cannot read"),
        ("text.conll", "no .spacy file"),
        ("empty.spacy", "no words"),
        ("none.spacy", "no entity"),
    ):
        with pytest.raises(CorpusError, match=reason) as error:
            tailored(config, paths={"train": str(tmp_path / name)})
        assert name in str(error.value) and "\n" not in str(error.value)


def test_only_the_line_of_the_section_changes():
    text = read_config("bcrf_ner")
    changed = set_value(text, "training", "seed", 3)
    assert [new for old, new in zip(text.splitlines(), changed.splitlines(), strict=True) if old != new] == ["seed = 3"]
    with pytest.raises(ValueError, match=r"no nlp\.seed"):
        set_value(text, "nlp", "seed", 3)


def test_fine_tuning_lasts_ten_passes_but_no_less_than_400_updates():
    text = read_config("transformer_features")
    for words, steps, frequency in ((2_000, 400, 100), (32_096, 600, 100), (203_621, 4200, 700)):
        found, said = with_fine_tuning(text, CorpusSize(docs=10, words=words, entities=5))
        training = Config().from_str(found, interpolate=False)["training"]
        assert (training["max_steps"], training["eval_frequency"], training["patience"]) == (steps, frequency, 0)
        assert steps % frequency == 0 and f"{steps:,} updates" in said and "whatever the score on dev does" not in found
        assert training["optimizer"]["learn_rate"]["total_steps"] == steps
