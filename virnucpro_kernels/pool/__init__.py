"""Files that one stage leaves to the next: manifest, chunks, tables, embeddings, scores, job records."""
