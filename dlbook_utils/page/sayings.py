"""What people say about deep learning, and the book tests: one id for each sentence.

A chapter judges a saying with ``verdict(id, ...)``; the claims page gathers the verdicts.
"""

SAYINGS = {
    "data-hunger": "Deep learning needs more data than classical methods",
    "classical-small-data": "Classical methods win on small data",
    "features-learned": "Features are learned, not engineered",
    "edges-then-objects": "Early layers find edges, later ones objects",
    "perceptron-xor": "Perceptrons cannot solve XOR",
    "deeper-is-better": "Deeper is better",
    "relu-vanishing": "ReLU cures vanishing gradients",
    "dropout-overfitting": "Dropout prevents overfitting",
    "batchnorm-speed": "Batch normalisation speeds up training",
    "adam-sgd": "Adam is better than SGD",
    "rnns-forget": "RNNs forget",
    "lstms-remember": "LSTMs remember",
    "attention-long": "Attention beats recurrence on long dependencies",
    "transformers-parallel": "Transformers train faster because they are parallel",
    "transformers-data": "Transformers need more data than CNNs",
    "resnet-vit-small": "ResNets generalise better than ViTs on small data",
    "gans-unstable": "GANs are unstable and collapse modes",
    "diffusion-cost": "Diffusion is stable but costs more per sample",
    "autoencoders-anomalies": "Autoencoders find anomalies",
    "autoencoders-copy": "Autoencoders may just copy",
    "accuracy-cost": "Accuracy and cost rise together from CNN to ResNet to ViT",
    "gpus-feasible": "GPUs make it feasible",
    "black-boxes": "Deep models are black boxes",
    "biased-data": "Models trained on biased data are biased",
    "pretraining-helps": "Pre-training helps",
    "layerwise-pretraining": "Deep networks need pre-training, layer by layer",
    "more-parameters-overfit": "More parameters overfit",
}
