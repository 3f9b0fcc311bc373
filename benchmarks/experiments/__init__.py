"""What all benchmarks share: options, corpora, trainings, timings, and results that grow. See benchmarks/README.md."""
