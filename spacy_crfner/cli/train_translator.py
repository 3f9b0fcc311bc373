"""`python -m spacy crfner train-translator`: parse, call, print."""

from pathlib import Path
from typing import Annotated, Any, Dict, List

from typer import Argument, Option
from wasabi import msg

from . import crfner
from .messages import clear_errors, say


@crfner.command("train-translator")
def train_translator_cli(
    output: Annotated[Path, Argument(help="Folder for the translator; a training that was stopped goes on there")],
    source: Annotated[List[Path], Option(help="Text to learn from, a sentence a line (.gz or plain); repeatable")],
    target: Annotated[List[Path], Option(help="Its English translation, line by line; as often as --source")],
    dev_source: Annotated[Path, Option(help="Text to evaluate on")],
    dev_target: Annotated[Path, Option(help="Its English translation")],
    lang: Annotated[str, Option(help="Code of the source language")],
    tokenized: Annotated[bool, Option(help="The text has spaces between its words; split nothing else")] = False,
    vocab: Annotated[int, Option(help="Pieces of words, of both languages together")] = 5000,
    size: Annotated[int, Option(help="Width of embeddings and convolutions")] = 256,
    dropout: Annotated[float, Option(help="Dropout rate")] = 0.2,
    learn_rate: Annotated[float, Option(help="Highest learning rate of Adam")] = 1e-3,
    warmup: Annotated[int, Option(help="Updates until that rate; then it falls with their root")] = 500,
    batch_pieces: Annotated[int, Option(help="Pieces of a batch, with padding")] = 3000,
    names: Annotated[float, Option(help="Chance of a name that both sides share to be learned as a place")] = 0.5,
    join: Annotated[float, Option(help="Chance of a sentence to be put together with others, for longer ones")] = 0.3,
    max_updates: Annotated[int, Option(help="Most updates")] = 20000,
    longest: Annotated[int, Option(help="Most pieces of a sentence; pairs with more are left out")] = 128,
    eval_every: Annotated[int, Option(help="Updates between evaluations")] = 500,
    patience: Annotated[int, Option(help="Evaluations without a lower loss on dev before it ends")] = 5,
    seed: Annotated[int, Option(help="Seed of all that is random")] = 0,
    overwrite: Annotated[bool, Option(help="Start anew where the folder holds another or a damaged training")] = False,
    gpu_id: Annotated[int, Option("--gpu-id", "-g", help="GPU to use, or -1 for the CPU")] = -1,
) -> None:
    """Train a translator into English for back attention.

    The folder can be named in `spacy_crfner.ConvSeq2Seq.v1` as soon as there has been one evaluation.
    """
    # Not above: the command line of spaCy would import torch whatever it is asked.
    from spacy.cli._util import setup_gpu

    from ..back_attention.batches import Batching
    from ..back_attention.parallel_text import read_pairs
    from ..back_attention.translator_training import TrainingSettings, TranslatorTraining

    with clear_errors():
        if len(source) != len(target):
            raise ValueError(f"--source is given {len(source)} times and --target {len(target)}: give them in pairs.")
        train = [
            pair for one, other in zip(source, target, strict=True) for pair in read_pairs(one, other, lang, tokenized)
        ]
        dev = read_pairs(dev_source, dev_target, lang, tokenized)
        msg.info(f"{len(train):,} pairs of sentences to learn from, {len(dev):,} to evaluate on")
        settings = TrainingSettings(
            vocab=vocab,
            size=size,
            width=size,
            dropout=dropout,
            learn_rate=learn_rate,
            warmup=warmup,
            max_updates=max_updates,
            eval_every=eval_every,
            patience=patience,
            seed=seed,
            batching=Batching(size=batch_pieces, longest=longest, names=names, join=join),
        )
        setup_gpu(gpu_id, silent=gpu_id < 0)
        training = TranslatorTraining(output, train, dev, lang, settings, print_line, tell=say, overwrite=overwrite)
        if training.too_long:
            msg.warn(f"{training.too_long:,} pairs have more than {longest} pieces and are left out (--longest)")
        if training.resumes:
            other = "starts anew" if overwrite else "stops"
            msg.info(f"There is a training in {output}: it goes on, or {other} if settings or text differ")
        print(HEADER, flush=True)
        progress = training.run()
    msg.good(f"The translator of update {progress.best_update} is in {output} (dev loss {progress.best:.3f})")


HEADER = f"{'updates':>8} {'epoch':>6} {'minutes':>8} {'train loss':>11} {'dev loss':>9} {'dev BLEU':>9}"


def print_line(found: Dict[str, Any]) -> None:
    """Print a line for an evaluation; a star for the best so far."""
    print(
        f"{found['update']:>8} {found['epoch']:>6} {found['minutes']:>8.1f} {found['train_loss']:>11.3f} "
        f"{found['dev_loss']:>9.3f} {found['dev_bleu']:>9.1f}{' *' if found['best'] else ''}",
        flush=True,
    )
