"""Transformers with fewer pieces: the texts that they are kept for are read as before."""

import json

import numpy as np
import pytest
import spacy
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from spacy.tokens import Doc, DocBin
from spacy.vocab import Vocab
from tiny_transformers import KINDS, TEXTS, make_causal, make_transformer, transformer_folder
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import AutoModel, AutoTokenizer

from spacy_crfner.encoders.transformer import build_transformer_v1
from spacy_crfner.model_folders import is_model
from spacy_crfner.text_files import CorpusError
from spacy_crfner.transfer.kept_pieces import needed_pieces, tokenizer_kind
from spacy_crfner.transfer.masked_model import read_masked_model
from spacy_crfner.transfer.trimming import trim_transformer

KEPT = ["Anna Kell met Bob in Paris.", "Bob met Harlow; the meeting (in Oslo)  was \u2603."]


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "kept.txt"
    path.write_text("\n".join(KEPT), encoding="utf8")
    return path


def encode(name, text):
    """The pieces of a text, and their states."""
    tokenizer = AutoTokenizer.from_pretrained(name)
    encoded = tokenizer(text, return_tensors="pt")
    with torch.no_grad():
        states = AutoModel.from_pretrained(name).eval()(
            input_ids=encoded["input_ids"], attention_mask=encoded["attention_mask"]
        )
    return tokenizer.convert_ids_to_tokens(encoded["input_ids"][0]), states.last_hidden_state[0]


@pytest.mark.parametrize("kind", KINDS)
def test_kept_texts_are_read_as_before(kind, text, tmp_path):
    whole = transformer_folder(kind)
    report = trim_transformer(tmp_path / "small", whole, [text])
    small = str(tmp_path / "small")
    assert report.pieces < report.pieces_before and report.weights < report.weights_before
    assert len(AutoTokenizer.from_pretrained(small)) == report.pieces
    spaced = [" ".join(token.text for token in spacy.blank("xx")(one) if not token.is_space) for one in KEPT]
    for one in (*KEPT, *spaced, *(f" {one}" for one in spaced)):
        (pieces, states), (before, states_before) = encode(small, one), encode(whole, one)
        assert pieces == before
        assert torch.equal(states, states_before)
    model = [build_transformer_v1(name, window=60, stride=40) for name in (whole, small)]
    doc = spacy.blank("xx")(KEPT[0])
    for own in model:
        own.initialize(X=[Doc(Vocab(), words=["Anna"])])
    np.testing.assert_array_equal(*(own.predict([doc])[0] for own in model))


@pytest.mark.parametrize("kind", KINDS)
def test_docs_with_white_space_are_read_as_before(kind, tmp_path):
    """White space is a token, which the layer reads with the words."""
    nlp = spacy.blank("en")
    doc = nlp("Anna met  Bob.\n\nHarlow moved to Oslo. ")
    DocBin(docs=[doc]).to_disk(tmp_path / "train.spacy")
    trim_transformer(tmp_path / "small", transformer_folder(kind), annotated=[tmp_path / "train.spacy"])
    model = [build_transformer_v1(str(n), window=32, stride=20) for n in (tmp_path / "small", transformer_folder(kind))]
    for own in model:
        own.initialize(X=[doc])
    np.testing.assert_array_equal(*(own.predict([doc])[0] for own in model))


@pytest.mark.parametrize("kind", KINDS)
def test_other_texts_are_read_in_shorter_pieces(kind, text, tmp_path):
    trim_transformer(tmp_path / "small", transformer_folder(kind), [text])
    tokenizers = [AutoTokenizer.from_pretrained(name) for name in (tmp_path / "small", transformer_folder(kind))]
    for one in TEXTS:
        small, whole = (own.tokenize(one) for own in tokenizers)
        assert len(small) >= len(whole)
        spelled = ["".join(piece.strip("#\u2581") for piece in pieces) for pieces in (small, whole)]
        assert spelled[0] == spelled[1]
    one = "moved to unremarkable"
    assert len(tokenizers[0].tokenize(one)) > len(tokenizers[1].tokenize(one))


@pytest.mark.parametrize("kind", KINDS)
def test_marks_keep_their_part_and_a_head_its_scores(kind, text, tmp_path):
    begin = read_masked_model(transformer_folder(kind))
    begin.model.save_pretrained(tmp_path / "whole")
    begin.tokenizer.save_pretrained(tmp_path / "whole")
    trim_transformer(tmp_path / "small", str(tmp_path / "whole"), [text])
    small = read_masked_model(str(tmp_path / "small"))
    assert not small.new_head
    assert small.tokenizer.special_tokens_map == begin.tokenizer.special_tokens_map
    assert small.model.config.pad_token_id == small.tokenizer.pad_token_id
    assert small.model.get_output_embeddings().weight is small.model.get_input_embeddings().weight
    pieces = small.tokenizer.convert_ids_to_tokens(range(len(small.tokenizer)))
    rows = begin.tokenizer.convert_tokens_to_ids(pieces)
    one = KEPT[0].replace("met", begin.tokenizer.mask_token)
    scores = []
    for own in (begin, small):
        encoded = own.tokenizer([one, "Bob"], padding=True, return_tensors="pt")
        encoded.pop("token_type_ids", None)
        with torch.no_grad():
            scores.append(own.model.eval()(**encoded).logits)
    torch.testing.assert_close(scores[1], scores[0][:, :, rows])
    pair = [own.tokenizer("Anna", "Bob").input_ids for own in (begin, small)]
    assert begin.tokenizer.convert_ids_to_tokens(pair[0]) == small.tokenizer.convert_ids_to_tokens(pair[1])


words = st.text(st.sampled_from("abcde"), min_size=1, max_size=7)


@pytest.mark.parametrize("kind", ["WordPiece", "BPE", "Unigram"])
@given(data=st.data())
def test_any_text_is_cut_as_before(kind, data):
    """Tokenizers of a few letters, with words that some of them do not know."""
    learned = data.draw(st.lists(words, min_size=5, max_size=30))
    kept = data.draw(st.lists(words, min_size=1, max_size=5))
    make, trainer = {
        "WordPiece": (models.WordPiece(unk_token="?"), trainers.WordPieceTrainer),
        "BPE": (models.BPE(), trainers.BpeTrainer),
        "Unigram": (models.Unigram(), trainers.UnigramTrainer),
    }[kind]
    whole = Tokenizer(make)
    whole.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    options = {"special_tokens": ["?"], "vocab_size": 40, "show_progress": False}
    if kind == "Unigram":
        options["unk_token"] = "?"
    whole.train_from_iterator(learned * 3, trainer(**options))
    # As a file gives it: a score may be another in its last bit, and choose between two cuts that are as good.
    whole = Tokenizer.from_str(whole.to_str())
    description = json.loads(whole.to_str())
    if kind == "WordPiece":
        # Without some of the letters there are unknown words.
        vocab = description["model"]["vocab"]
        for letter in data.draw(st.sets(st.sampled_from("abcde"))):
            vocab.pop(letter, None)
            vocab.pop(f"##{letter}", None)
        description["model"]["vocab"] = {piece: number for number, piece in enumerate(vocab)}
        whole = Tokenizer.from_str(json.dumps(description))
    own = tokenizer_kind(whole)
    pieces = needed_pieces(own, [" ".join(kept)]) | {whole.token_to_id("?")}
    new = {old: number for number, old in enumerate(sorted(pieces))}
    small = Tokenizer.from_str(json.dumps({**description, "model": own.cut(pieces, new)}))
    found, before = small.encode(" ".join(kept)), whole.encode(" ".join(kept))
    assert found.tokens == before.tokens
    assert found.ids == [new[old] for old in before.ids]


def test_annotated_files_are_kept_for_in_words_and_as_texts(tmp_path, write):
    whole = transformer_folder("bert")
    doc = Doc(Vocab(), words=["Oslo", "in", "1998"], spaces=[True, False, False])
    DocBin(docs=[doc]).to_disk(tmp_path / "train.spacy")
    write("train.conll", "Harlow B-PER\nmoved O\n\n")
    write("train.jsonl", '{"text": "the meeting", "spans": []}\n')
    names = ("train.spacy", "train.conll", "train.jsonl")
    trim_transformer(tmp_path / "small", whole, annotated=[tmp_path / name for name in names])
    tokenizers = [AutoTokenizer.from_pretrained(name) for name in (tmp_path / "small", whole)]
    for one in ("Oslo in1998", "Oslo in 1998", "Harlow moved", "the meeting"):
        assert tokenizers[0].tokenize(one) == tokenizers[1].tokenize(one)
    assert tokenizers[0].tokenize("Anna") != tokenizers[1].tokenize("Anna")


def test_positions_do_not_move_with_the_number_of_the_padding(text, tmp_path):
    """RoBERTa counts positions from behind that of the padding on, which here has pieces in front of it."""
    make_transformer(tmp_path / "whole", "roberta")
    config = json.loads((tmp_path / "whole" / "config.json").read_text())
    (tmp_path / "whole" / "config.json").write_text(json.dumps({**config, "pad_token_id": 20}))
    trim_transformer(tmp_path / "small", str(tmp_path / "whole"), [text])
    assert json.loads((tmp_path / "small" / "config.json").read_text())["pad_token_id"] == 20
    assert torch.equal(encode(tmp_path / "small", KEPT[0])[1], encode(tmp_path / "whole", KEPT[0])[1])


def test_only_a_model_is_replaced_and_only_if_told(text, tmp_path):
    whole = transformer_folder("bert")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letters.txt").write_text("dear")
    for overwrite in (False, True):
        with pytest.raises(FileExistsError, match="holds no transformer and is not replaced by one"):
            trim_transformer(tmp_path / "mine", whole, [text], overwrite=overwrite)
    trim_transformer(tmp_path / "small", whole, [text])
    with pytest.raises(FileExistsError, match=r"this holds a model: .*--overwrite"):
        trim_transformer(tmp_path / "small", whole, [text])
    with pytest.raises(FileExistsError, match="this is the model that is to be trimmed"):
        trim_transformer(tmp_path / "small", str(tmp_path / "small"), [text], overwrite=True)
    trim_transformer(tmp_path / "small", transformer_folder("roberta"), [text], overwrite=True)
    assert json.loads((tmp_path / "small" / "config.json").read_text())["model_type"] == "roberta"
    # Once more, by the same text, changes nothing.
    trim_transformer(tmp_path / "again", str(tmp_path / "small"), [text])
    first, second = (load_file(tmp_path / name / "model.safetensors") for name in ("small", "again"))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_errors_leave_nothing(text, tmp_path):
    whole, output = transformer_folder("bert"), tmp_path / "small"
    (tmp_path / "empty.txt").write_text("\n")
    with pytest.raises(CorpusError, match="no text to keep pieces for"):
        trim_transformer(output, whole, [tmp_path / "empty.txt"])
    with pytest.raises(CorpusError, match="no text to keep pieces for"):
        trim_transformer(output, whole)
    with pytest.raises(CorpusError, match=r"nowhere.txt: there is no such file"):
        trim_transformer(output, whole, [tmp_path / "nowhere.txt"])
    with pytest.raises(ValueError, match=r"of the type 'gpt2' reads from left to right alone"):
        trim_transformer(output, make_causal(tmp_path / "causal"), [text])
    with pytest.raises(ValueError, match=r"Trimming a transformer cannot read the model .*there is no such folder"):
        trim_transformer(output, str(tmp_path / "nowhere"), [text])
    for change, reason in (
        ({"type": "WordLevel"}, "vocabulary of the type 'WordLevel' cannot be cut"),
        ({"type": "BPE", "end_of_word_suffix": "</w>", "merges": []}, "that marks the inside or the end of words"),
    ):
        make_transformer(tmp_path / "other", "bert")
        path = tmp_path / "other" / "tokenizer.json"
        made = json.loads(path.read_text())
        made["model"] = {"unk_token": "[UNK]", "vocab": made["model"]["vocab"], **change}
        path.write_text(json.dumps(made))
        with pytest.raises(ValueError, match=reason) as caught:
            trim_transformer(output, str(tmp_path / "other"), [text])
        assert "\n" not in str(caught.value)
    assert not output.exists() and not is_model(output)
