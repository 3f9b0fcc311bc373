"""Small transformers with random weights, and tokenizers trained on a few sentences, of three kinds."""

import atexit
import shutil
from functools import cache
from tempfile import mkdtemp

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    BertConfig,
    BertModel,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaModel,
    XLMRobertaConfig,
    XLMRobertaModel,
)

KINDS = ("bert", "roberta", "xlm-roberta")
SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
TEXTS = [
    "Anna Kell met Bob in Paris.",
    "Harlow & Pike moved to Oslo in 1998, said Anna.",
    "Bob met Harlow; the meeting in Oslo was unremarkable.",
    "中国 上海 Zürich naïve",
] * 5


def make_transformer(folder, kind, seed=0, **settings):
    """Save a model of a kind, with these settings of its config, and its tokenizer. Returns the folder, as a string."""
    tokenizer = make_tokenizer(kind)
    torch.manual_seed(seed)
    sizes = {**SIZES, "vocab_size": len(tokenizer)}
    if kind == "bert":
        config, make, positions = BertConfig, BertModel, 64
    elif kind == "roberta":
        config, make, positions = RobertaConfig, RobertaModel, 66
    else:
        config, make, positions = XLMRobertaConfig, XLMRobertaModel, 66
    sizes.update({"max_position_embeddings": positions, "pad_token_id": tokenizer.pad_token_id, **settings})
    model = make(config(**sizes))
    # Random weights of the usual size make all vectors alike.
    with torch.no_grad():
        for weights in model.parameters():
            weights.mul_(5.0)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def make_causal(folder):
    """Save a model that reads from left to right alone, and its tokenizer. Returns the folder, as a string."""
    tokenizer = make_tokenizer("roberta")
    sizes = {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 64, "vocab_size": len(tokenizer)}
    GPT2LMHeadModel(GPT2Config(**sizes)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def make_tokenizer(kind):
    """Train the tokenizer of a kind of models."""
    return {"bert": _word_piece, "roberta": _byte_pairs, "xlm-roberta": _unigram}[kind]()


@cache
def transformer_folder(kind):
    """Make a model of a kind once for the process. Returns its folder."""
    folder = mkdtemp(prefix="transformer-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return make_transformer(folder, kind)


def _word_piece():
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.train_from_iterator(TEXTS, trainers.WordPieceTrainer(vocab_size=120, special_tokens=special))
    ends = [(piece, tokenizer.token_to_id(piece)) for piece in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", "[CLS] $A [SEP] $B [SEP]", ends)
    names = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), special, strict=True))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)


def _byte_pairs():
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=special, initial_alphabet=alphabet)
    tokenizer.train_from_iterator(TEXTS, trainer)
    ends = [(piece, tokenizer.token_to_id(piece)) for piece in ("</s>", "<s>")]
    tokenizer.post_processor = processors.RobertaProcessing(*ends, add_prefix_space=False)
    names = dict(zip(("bos_token", "pad_token", "eos_token", "unk_token", "mask_token"), special, strict=True))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, cls_token="<s>", sep_token="</s>", **names)


def _unigram():
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    trainer = trainers.UnigramTrainer(vocab_size=120, special_tokens=special, unk_token="<unk>")
    tokenizer.train_from_iterator(TEXTS, trainer)
    ends = [(piece, tokenizer.token_to_id(piece)) for piece in ("<s>", "</s>")]
    tokenizer.post_processor = processors.TemplateProcessing("<s> $A </s>", "<s> $A </s> </s> $B </s>", ends)
    names = dict(zip(("bos_token", "pad_token", "eos_token", "unk_token", "mask_token"), special, strict=True))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, cls_token="<s>", sep_token="</s>", **names)
