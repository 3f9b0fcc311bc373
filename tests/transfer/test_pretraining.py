"""Pre-training with masked pieces: what is learned, killed, saved and read again."""

import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import spacy
import torch
from pretraining_samples import LONG, SETTINGS, new_training, pretraining, toy_lines, write_toy
from safetensors.torch import load_file, save_file
from spacy.tokens import Doc
from spacy.vocab import Vocab
from tiny_transformers import KINDS, make_transformer, transformer_folder
from transformers import AutoModel, AutoTokenizer

from spacy_crfner.encoders import transformer_module
from spacy_crfner.encoders.transformer import build_transformer_v1
from spacy_crfner.transfer import pretraining as module
from spacy_crfner.transfer.from_scratch import Sizes, new_masked_model
from spacy_crfner.transfer.masked_model import MaskedPieces, read_masked_model
from spacy_crfner.transfer.pretraining import TransformerPretraining
from spacy_crfner.transfer.texts import RawText


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    return write_toy(tmp_path_factory.mktemp("toy"))


def read_log(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def vectors(name):
    model = build_transformer_v1(str(name), window=32, stride=20)
    doc = spacy.blank("en")("Anna met Kell in Paris.")
    model.initialize(X=[Doc(Vocab(), words=["Anna"])])
    return model.predict([doc])[0]


@pytest.mark.parametrize("kind", KINDS)
def test_scores_are_those_of_the_library_at_the_places_asked_for(kind):
    begin = read_masked_model(transformer_folder(kind))
    ids = begin.tokenizer(["Anna met Bob in Paris.", "Bob"], padding=True, return_tensors="pt")
    places = torch.tensor([1, 4, ids["input_ids"].shape[1] + 1])
    begin.model.eval()
    with torch.no_grad():
        expected = begin.model(input_ids=ids["input_ids"], attention_mask=ids["attention_mask"]).logits
        found = MaskedPieces(begin.model)(ids["input_ids"], ids["attention_mask"].sum(1), places)
        again = begin.model(input_ids=ids["input_ids"], attention_mask=ids["attention_mask"]).logits
    torch.testing.assert_close(found, expected.flatten(0, 1)[places])
    torch.testing.assert_close(again, expected)


@pytest.mark.parametrize("kind", KINDS)
def test_perplexity_falls_and_the_folder_is_read_by_the_layer(kind, text, tmp_path):
    settings = replace(SETTINGS, max_updates=150, eval_every=50, mixed_precision=False)
    training = pretraining(tmp_path, text, kind, settings)
    training.run()
    log = read_log(tmp_path)
    assert [line["start_perplexity"] for line in log] == [training.start] * 3
    assert log[-1]["dev_perplexity"] < training.start / 4
    assert log[-1]["dev_perplexity"] == pytest.approx(math.exp(log[-1]["dev_loss"]), rel=1e-3)
    # The encoder of the folder is what was trained, as the library and the layer read it.
    trained = training.trainee.module.model.base_model.state_dict()
    for name, weights in AutoModel.from_pretrained(tmp_path).state_dict().items():
        if "pooler" not in name:
            assert torch.equal(weights, trained[name])
    assert np.abs(vectors(tmp_path) - vectors(transformer_folder(kind))).max() > 0.01
    # The head is there, so that another training begins where this one has ended.
    again = read_masked_model(str(tmp_path))
    assert not again.new_head
    more = TransformerPretraining(tmp_path / "more", again, RawText([text], held_out=0.1), settings)
    assert more.start == pytest.approx(log[-1]["dev_perplexity"], rel=1e-3)


def test_dev_is_scored_by_the_masked_pieces_alone(text, tmp_path):
    """With the library's own loss as the oracle: it leaves out what has the label -100."""
    trainee = pretraining(tmp_path, text, settings=replace(SETTINGS, mixed_precision=False)).trainee
    seen = []
    trainee.module.register_forward_hook(lambda own, inputs, output: seen.append(inputs))
    trainee.module.eval()
    with torch.no_grad():
        found = trainee.evaluate()["dev_loss"]
    total, count = 0.0, 0
    rng = np.random.default_rng(module.DEV_SEED)
    for blocks, (ids, lengths, places) in zip(trainee._portions(trainee._evaluated), seen, strict=True):
        pieces, starts, _ = trainee.dev.pick(blocks)
        _, chosen = trainee.masking.draw(pieces, starts, rng)
        labels = torch.full_like(ids, -100).flatten()
        labels[places] = torch.from_numpy(pieces[chosen].astype(np.int64))
        mask = (torch.arange(ids.shape[1]) < lengths[:, None]).long()
        with torch.no_grad():
            loss = trainee.module.model(input_ids=ids, attention_mask=mask, labels=labels.view_as(ids)).loss
        total, count = total + loss.item() * len(places), count + len(places)
        # Ends and padding stand where they belong.
        assert (ids[:, 0] == trainee.reader.before[0]).all()
        assert (ids.gather(1, lengths[:, None] - 1) == trainee.reader.after[0]).all()
        assert (ids[mask == 0] == trainee.reader.padding).all()
    assert count and found == pytest.approx(total / count, rel=1e-5)


def test_a_killed_training_ends_as_one_without_a_break(text, tmp_path, monkeypatch):
    def run(folder, fail_at=None):
        training = pretraining(folder, text)
        loss, calls = training.trainee.loss, iter(range(1, 100))

        def failing(batch):
            if next(calls) == fail_at:
                raise KeyboardInterrupt
            return loss(batch)

        monkeypatch.setattr(training.trainee, "loss", failing)
        with pytest.raises(KeyboardInterrupt) if fail_at else nullcontext():
            training.run()

    run(tmp_path / "whole")
    for fail_at in (2, 7, 12):
        folder = tmp_path / str(fail_at)
        run(folder, fail_at)
        run(folder)
        first, second = (load_file(own / "model.safetensors") for own in (tmp_path / "whole", folder))
        assert first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
        logs = [[{**line, "minutes": 0} for line in read_log(own)] for own in (tmp_path / "whole", folder)]
        assert logs[0] == logs[1] and [line["update"] for line in logs[0]] == [4, 8, 12]


KILLED = """
import sys
sys.path[:0] = sys.argv[3:]
from pathlib import Path
from pretraining_samples import LONG, new_training
new_training(Path(sys.argv[1]), Path(sys.argv[2]), LONG).run()
"""


def test_a_process_that_is_killed_goes_on_from_scratch_too(text, tmp_path):
    """The tokenizer that is trained anew is the same in another process."""
    here = os.path.dirname(os.path.abspath(__file__))
    arguments = [str(tmp_path / "out"), str(text), here, os.path.dirname(here)]
    process = subprocess.Popen([sys.executable, "-c", KILLED, *arguments])
    try:
        end = time.monotonic() + 120
        while not (tmp_path / "out" / "model.safetensors").exists() and time.monotonic() < end:
            time.sleep(0.05)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    training = new_training(tmp_path / "out", text, LONG)
    assert training.resumes
    training._resume()
    assert training.progress.update >= 1


def test_another_training_does_not_go_on_with_it(text, tmp_path):
    brief = replace(SETTINGS, max_updates=4)
    pretraining(tmp_path / "out", text, settings=brief).run()
    other = tmp_path / "other.txt"
    other.write_text("\n".join(toy_lines(seed=1)))
    for settings, path, kind in (
        (replace(brief, masked=0.2), text, "bert"),
        # The learning rate falls until then, so that it says what is learned.
        (replace(brief, max_updates=8), text, "bert"),
        (brief, other, "bert"),
        (replace(brief, seed=1), text, "bert"),
    ):
        with pytest.raises(ValueError, match=r"other settings or other text: choose .*--overwrite"):
            pretraining(tmp_path / "out", path, kind, settings).run()
    assert pretraining(tmp_path / "out", text, "roberta", brief, overwrite=True).run().update == 4
    assert json.loads((tmp_path / "out" / "config.json").read_text())["model_type"] == "roberta"
    assert pretraining(tmp_path / "out", text, "roberta", brief).run().update == 4
    weights = load_file(tmp_path / "out" / "model.safetensors")
    save_file({name: values[:1].clone() for name, values in weights.items()}, tmp_path / "out" / "model.safetensors")
    with pytest.raises(ValueError, match=r"is damaged \(model.safetensors holds .* of another model\)"):
        pretraining(tmp_path / "out", text, "roberta", brief).run()


def test_the_learning_rate_rises_and_falls_to_nothing(text, tmp_path):
    trainee = pretraining(tmp_path, text).trainee
    shares = [trainee.schedule(update, SETTINGS) for update in range(1, 14)]
    assert shares[:4] == pytest.approx([0.25, 0.5, 0.75, 1.0]) and shares[8] == pytest.approx(4 / 9)
    assert shares[11] > 0 and shares[12] == 0
    assert trainee.schedule(2, replace(SETTINGS, max_updates=2)) == pytest.approx(0.5)


def test_an_epoch_holds_every_block_once_and_masks_change(text, tmp_path):
    trainee = pretraining(tmp_path, text).trainee
    epochs = [list(trainee.batches(number, random.Random(number))) for number in (0, 1)]
    orders = [np.concatenate([blocks for blocks, _ in epoch]) for epoch in epochs]
    for order in orders:
        assert sorted(order) == list(range(len(trainee.train)))
    assert orders[0].tolist() != orders[1].tolist()
    seeds = [seed for epoch in epochs for _, seed in epoch]
    assert len(set(seeds)) == len(seeds)


@pytest.mark.parametrize("kind", KINDS)
def test_a_text_that_spells_a_mark_does_not_hold_one(kind, tmp_path):
    marked, tokenizer = tmp_path / "marked.txt", AutoTokenizer.from_pretrained(transformer_folder(kind))
    separator, mask, padding = tokenizer.sep_token, tokenizer.mask_token, tokenizer.pad_token
    marked.write_text("\n".join([f"Anna {separator} met {mask} Bob {padding} now"] * 20 + toy_lines()))
    trainee = pretraining(tmp_path / "out", marked, kind).trainee
    ids = trainee.train.ids
    assert not {trainee.masking.mask, trainee.reader.padding} & set(ids.tolist())
    assert (ids == tokenizer.sep_token_id).sum() == trainee.train.n_texts


def test_mixed_precision_is_close_and_only_where_it_is_fast(text, tmp_path, monkeypatch):
    exact = pretraining(tmp_path / "a", text, settings=replace(SETTINGS, mixed_precision=False)).start
    monkeypatch.setattr(transformer_module, "has_fast_bfloat16", lambda device: True)
    mixed = pretraining(tmp_path / "b", text).start
    assert mixed != exact and mixed == pytest.approx(exact, rel=0.05)
    monkeypatch.setattr(transformer_module, "has_fast_bfloat16", lambda device: False)
    assert pretraining(tmp_path / "c", text).start == exact


def test_the_head_of_a_model_is_kept_and_a_new_one_follows_the_seed(tmp_path):
    first, second, third = (read_masked_model(transformer_folder("bert"), seed) for seed in (0, 0, 1))
    assert first.new_head
    heads = [own.model.cls.predictions.transform.dense.weight for own in (first, second, third)]
    assert torch.equal(heads[0], heads[1]) and not torch.equal(heads[0], heads[2])
    assert first.model.get_output_embeddings().weight is first.model.get_input_embeddings().weight
    first.model.save_pretrained(tmp_path)
    first.tokenizer.save_pretrained(tmp_path)
    again = read_masked_model(str(tmp_path), seed=5)
    assert not again.new_head and torch.equal(again.model.cls.predictions.transform.dense.weight, heads[0])


def test_from_scratch(text, tmp_path):
    raw = RawText([text], held_out=0.1)
    begin = new_masked_model(raw.to_learn_from(), Sizes(layers=1, width=16, heads=2, vocab=300), block=32)
    assert len(begin.tokenizer) == 300
    settings = replace(SETTINGS, max_updates=100, eval_every=50)
    training = TransformerPretraining(tmp_path, begin, raw, settings)
    assert training.start == pytest.approx(300, rel=0.1)
    training.run()
    assert read_log(tmp_path)[-1]["dev_perplexity"] < 100
    assert vectors(tmp_path).shape == (6, 16)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert (
        tokenizer.decode(tokenizer("Ångström 上海 \u2603").input_ids, skip_special_tokens=True)
        == "Ångström 上海 \u2603"
    )
    # Blocks longer than usual can be read.
    assert new_masked_model(toy_lines(), Sizes(1, 16, 2, 300), block=600).model.config.max_position_embeddings == 602


def test_what_cannot_be_learned_is_said_in_one_sentence(text, tmp_path):
    (tmp_path / "short.txt").write_text("Anna met Bob.")
    (tmp_path / "empty.txt").write_text("\n \n")
    for path in (tmp_path / "short.txt", tmp_path / "empty.txt"):
        with pytest.raises(ValueError, match=r"^The text is too short: .*; give more\.$"):
            pretraining(tmp_path / "out", path)
    with pytest.raises(ValueError, match=r"^The model reads 64 pieces at once, so a block cannot have 100\.$"):
        pretraining(tmp_path / "out", text, settings=replace(SETTINGS, block=100))
    with pytest.raises(ValueError, match=r"^The model reads 64 pieces at once"):
        pretraining(tmp_path / "out", text, "roberta", replace(SETTINGS, block=65))
    for wrong in ({"masked": 0.0}, {"block": 2}, {"batch_pieces": 0}, {"warmup": 0}):
        with pytest.raises(ValueError, match=f"^{next(iter(wrong))} of pre-training must be "):
            replace(SETTINGS, **wrong)
    for sizes in ({"heads": 3}, {"layers": 0}, {"vocab": 100}):
        with pytest.raises(ValueError, match="new transformer"):
            Sizes(**sizes)
    assert not (tmp_path / "out").exists()


def test_models_that_cannot_be_used_are_refused(tmp_path):
    def refused(name, reason):
        with pytest.raises(ValueError, match=reason) as caught:
            read_masked_model(str(name))
        assert "\n" not in str(caught.value) and str(name) in str(caught.value)

    refused(tmp_path / "nowhere", "there is no such folder")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "cannot use the model")
    make_transformer(tmp_path / "unmasked", "bert")
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        path = tmp_path / "unmasked" / name
        config = json.loads(path.read_text())
        config.pop("mask_token")
        path.write_text(json.dumps(config))
    refused(tmp_path / "unmasked", "no piece that masks others")
    make_transformer(tmp_path / "hollow", "bert")
    weights = load_file(tmp_path / "hollow" / "model.safetensors")
    kept = {name: values for name, values in weights.items() if "layer.1" not in name}
    save_file(kept, tmp_path / "hollow" / "model.safetensors", metadata={"format": "pt"})
    refused(tmp_path / "hollow", "holds no weights for bert.encoder.layer.1")
    make_transformer(tmp_path / "small", "bert")
    shutil.copy(tmp_path / "small" / "tokenizer.json", tmp_path / "kept.json")
    make_transformer(tmp_path / "small", "xlm-roberta")
    shutil.copy(tmp_path / "kept.json", tmp_path / "small" / "tokenizer.json")
    refused(tmp_path / "small", "more pieces than the")


def test_without_the_library_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ImportError, match=r"Pre-training needs .*pip install 'spacy-crfner\[transformers\]'"):
        read_masked_model("bert-base-cased")
