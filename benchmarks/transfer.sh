#!/usr/bin/env bash
# All trainings with transformers, one after the other. From the root of the repository:
#
#   SPACY_CRFNER_DATA=data MODELS=models VECTORS=en_core_web_md bash benchmarks/transfer.sh [--gpu-id 0]
#
# The results are written to training/results, or RESULTS. What these hold already is not measured again, so the script
# can be started again; those of the repository were made with the code of their day, to which no other runs are added.
# MODELS has multilingual-E5-small, cut to the words of each corpus (e5-en, e5-bc, e5-de, e5-es, e5-gmb, e5-news; see
# `python -m spacy crfner trim-transformer`), MiniLM (minilm-en) and, as `english`, an English NER (see
# docs/other-languages.md).
# On a CPU it takes a day.
set -euo pipefail
: "${SPACY_CRFNER_DATA:?}" "${MODELS:?}" "${VECTORS:?}"
RESULTS=${RESULTS:-training/results}
LAYER=components.bcrf_ner.model.tok2vec
gpu=("$@")
mkdir -p "$RESULTS"

benchmark() { # script, others
    python "benchmarks/$1.py" --to "$RESULTS" "${@:2}"
}

tune() { # name, model, updates, updates between evaluations, others: fine-tune a model and a CRF
    benchmark accuracy --name "$1" --config configs/transformer.cfg --paths.transformer "$MODELS/$2" \
        --$LAYER.rate 0.2 --$LAYER.mixed_precision true --training.patience 0 --training.max_steps "$3" \
        --training.eval_frequency "$4" "${gpu[@]}" "${@:5}"
}

route() { # name, encoder: single, double and routed taggers over a frozen model
    benchmark routing --name "$1" --corpus gmb --vectors "$VECTORS" --transformer "$MODELS/e5-gmb" \
        --encoder "$2" --work "training/$2" --steps 2000 --seeds 0 --test \
        --only single strong 'weak, rare repeated' 'router RCNN, weighted'
}

pretrain() { # name, others: on news, for about an hour of two cores
    benchmark pretraining --name "pretraining-$1" --folder "training/$1" --no-dropout --batch-pieces 2048 \
        --text "$SPACY_CRFNER_DATA/text-en/reuters21578.txt.gz" "${@:2}"
}

en20=(--corpus conll2003-en --train-corpus conll2003-en-20)
falling='{"@schedules":"warmup_linear.v1","warmup_steps":60,"total_steps":1200,"initial_rate":0.002}'
tune conll2003-en-20-e5 e5-en 600 150 "${en20[@]}"
tune bc5cdr-20-e5 e5-bc 450 150 --corpus bc5cdr --train-corpus bc5cdr-20
tune conll2003-de-10pct-e5 e5-de 400 100 --corpus conll2003-de --lang de --limit-train 10%
tune conll2002-es-10pct-e5 e5-es 400 100 --corpus conll2002-es --lang es --limit-train 10%
tune conll2003-en-e5 e5-en 3200 800 --corpus conll2003-en --seeds 0
benchmark accuracy --name conll2003-en-20-minilm-frozen "${en20[@]}" --config configs/frozen_bilstm.cfg \
    --vectors "$VECTORS" --paths.transformer "$MODELS/minilm-en" --training.optimizer.learn_rate "$falling" \
    --training.max_steps 1200 --training.patience 0 --training.eval_frequency 300 "${gpu[@]}"

cnn=(--corpus conll2003-en --config configs/bilstm_cnn.cfg --vectors "$VECTORS" --seeds 0 --training.max_steps 4200)
word_by_word=(--components.bcrf_ner.loss '{"@misc":"spacy_crfner.softmax.v1"}'
    --components.bcrf_ner.decoder '{"@misc":"spacy_crfner.softmax_decoder.v1"}')
benchmark accuracy --name conll2003-en-bilstm-cnn "${cnn[@]}" "${gpu[@]}"
benchmark accuracy --name conll2003-en-bilstm-cnn-softmax "${cnn[@]}" "${word_by_word[@]}" "${gpu[@]}"

for language in de es; do
    corpus=$([ $language = de ] && echo conll2003-de || echo conll2002-es)
    benchmark back_attention --name "back-attention-$corpus-10pct-e5" --corpus "$corpus" --lang $language \
        --limit-train 10% --translator none --english "$MODELS/english" --cache "training/cache-$language" \
        --transformer "$MODELS/e5-$language" --rate 0.2 --steps 400 --seeds 0 1 2 --only untranslated
done

route routing-gmb-frozen frozen_transformer
route routing-gmb-frozen-bilstm frozen_bilstm
benchmark accuracy --name gmb-weak-class-e5 --corpus gmb --config configs/weak_class_transformer.cfg \
    --seeds 0 --paths.transformer "$MODELS/e5-gmb" --listener.width 384 --components.tok2vec.model.rate 0.2 "${gpu[@]}"

pretrain e5-reuters --model "$MODELS/e5-news" --learn-rate 3e-4 --warmup 150 --max-updates 3000 --eval-every 250 \
    --dev-pieces 20000
pretrain small-reuters --from-scratch --warmup 500 --max-updates 18000 --eval-every 1000
MODELS=training tune conll2003-en-20-e5-reuters e5-reuters 600 150 "${en20[@]}"
MODELS=training tune conll2003-en-20-small-reuters small-reuters 600 150 "${en20[@]}"
