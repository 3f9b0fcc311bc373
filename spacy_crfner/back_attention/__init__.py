"""Back attention: the states of an English NER, carried back through a translator's attention (Sun et al. 2019)."""
