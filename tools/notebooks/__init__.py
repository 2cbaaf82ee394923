"""From book/**/*.md to notebooks/**/*.ipynb: what Colab and Binder open and nbval runs."""
