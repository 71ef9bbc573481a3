"""corpus → cleaning → tokenizer → token store."""

from kedro.pipeline import Pipeline, node

from ergokedro.pipelines.data_processing import nodes


def create_pipeline() -> Pipeline:
    """The data processing pipeline."""
    return Pipeline(
        [
            node(nodes.fetch_corpus, "params:corpus", "corpus", name="fetch_corpus"),
            node(
                nodes.clean_documents,
                ["corpus", "params:corpus"],
                ["documents", "near_duplicates"],
                name="clean_documents",
            ),
            node(
                nodes.prepare_tokenizer,
                ["corpus", "documents", "params:tokenizer"],
                "tokenizer",
                name="prepare_tokenizer",
            ),
            node(
                nodes.tokenize_corpus,
                ["corpus", "documents", "tokenizer", "params:corpus"],
                "token_store",
                name="tokenize_corpus",
            ),
        ],
        tags="data_processing",
    )
