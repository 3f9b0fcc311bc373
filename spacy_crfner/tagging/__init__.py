"""The `bcrf_ner` component: a CRF tagger over any tok2vec."""
