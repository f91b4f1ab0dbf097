"""Stage `split`: the contigs of a pool become windows, frames and chunks."""
