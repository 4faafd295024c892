"""The wall time of two versions of a store, compared in one job: processes, samples, stages."""
