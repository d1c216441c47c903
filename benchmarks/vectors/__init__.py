"""Vector search on real texts, compared with the vector stores of other libraries: ``make bench-vectors``.

In the order in which a run goes through them: `corpus` (texts of installed packages), `embeddings` (TF-IDF
and a truncated SVD), `vector_data` (rows, questions, exact answers), `stores` (one module each, in a process
each: `store_worker`, `store_process`), `vector_run`, `vector_results`, `vector_claims` (required and
measured), `vector_report`, `vector_chart`, `vector_page`.
"""
