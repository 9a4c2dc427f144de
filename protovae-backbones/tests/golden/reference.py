"""The networks and the `reference2022` losses in plain PyTorch, for the comparisons of `weights.py` and `parity.py`.

Written from the paper's Figure 1, its supplement and the names that the authors' checkpoints have. Two modules compute the
same and differ in their names:

  Reference   names of the authors' checkpoints: two `nn.Sequential`s, in which layers without parameters count
  Whole       names of our layout `pytorch`: any encoder, our decoder and head
"""
import torch
import torchvision
from torch import nn

EPSILON = 1e-4
LIMIT = 18.420680743952367  # of log sigma squared: the logarithm of 1e8

UP = [("conv", 32), ("up", 32), ("conv", 32), ("up", 32)]
DEEP = [(kind, width) for width in (128, 64, 32, 32) for kind in ("conv", "up")]
# Images, L, M, the encoder (a width a halving), the decoder's first maps, and its stages.
NETWORKS = {
    "mnist": ((1, 28, 28), 256, 5, ("pool", [32, 64]), (64, 7, 7), UP),
    "fashion-mnist": ((1, 28, 28), 256, 10, ("pool", [32, 64]), (64, 7, 7), UP),
    "quickdraw": ((1, 28, 28), 512, 10, ("pool", [32, 64, 128]), (128, 3, 3),
                  [("conv", 64), ("up", 64), ("conv", 32), ("up", 32), ("wide", 32), ("up", 32)]),
    "cifar-10": ((3, 32, 32), 512, 10, ("pool", [32, 64, 128, 256]), (256, 2, 2), DEEP),
    "svhn": ((3, 32, 32), 512, 5, ("stride", [32, 64, 128, 256]), (256, 2, 2), DEEP),
}
CLASSES = 10
PADDING = {"conv": 1, "wide": 2}


def block(convolution):
    return [convolution, nn.ReLU(), nn.BatchNorm2d(convolution.out_channels)]


def encoder_layers(image, latent, kind, widths):
    channels, height, width = image
    layers = []
    for wide in widths:
        layers += block(nn.Conv2d(channels, wide, 3, 1, 1))
        layers += [nn.AvgPool2d(2)] if kind == "pool" else block(nn.Conv2d(wide, wide, 4, 2, 1))
        channels, height, width = wide, height // 2, width // 2
    return layers + [nn.Flatten(), nn.Linear(channels * height * width, 2 * latent), nn.ReLU(),
                     nn.Linear(2 * latent, 2 * latent)]


def stage(kind, inputs, outputs):
    if kind == "up":
        return nn.ConvTranspose2d(inputs, outputs, 4, 2, 1)
    return nn.Conv2d(inputs, outputs, 3, 1, PADDING[kind])


def decoder_layers(image, latent, start, stages):
    channels, height, width = start
    units = channels * height * width
    layers = [nn.Linear(latent, units), nn.ReLU(), nn.BatchNorm1d(units), nn.Unflatten(1, start)]
    for kind, wide in stages:
        layers += block(stage(kind, channels, wide))
        channels = wide
    return layers + [nn.Conv2d(channels, image[0], 3, 1, 1)]


class Model(nn.Module):
    """What both share: `posterior`, `decode`, `bank` and `classifier` are theirs."""

    def similarities(self, z):
        distances = (z[:, None] - self.bank()[None]).norm(dim=2)
        return torch.log((distances + 1) / (distances + EPSILON))

    def outputs(self, images):
        mean, log_variance = self.posterior(images).chunk(2, dim=1)
        similarities = self.similarities(mean)
        return {"mean": mean, "log_variance": log_variance, "similarities": similarities,
                "logits": similarities @ self.classifier().T, "reconstruction": self.decode(mean)}

    def losses(self, images, labels, outputs):
        """The terms of the convention `reference2022`, a formula each; z is the mean."""
        bank = self.bank()
        bank = bank.view(CLASSES, -1, bank.shape[1])
        mean, log_variance = outputs["mean"], outputs["log_variance"].clamp(-LIMIT, LIMIT)
        own = bank[labels]
        kl = (log_variance.exp()[:, None] + (mean[:, None] - own) ** 2 - 1 - log_variance[:, None]).mean(2) / 2
        s = outputs["similarities"].view(len(labels), CLASSES, -1)[torch.arange(len(labels)), labels]
        s = s * (kl * s > 0)
        centred = bank - bank.mean(1, keepdim=True)
        # Over latent dimensions, as the released code has it.
        gram = centred.transpose(1, 2) @ centred - torch.eye(bank.shape[2], dtype=bank.dtype)
        return {"prediction": nn.functional.cross_entropy(outputs["logits"], labels),
                "reconstruction": ((images - outputs["reconstruction"]) ** 2).mean(),
                "kl": ((s * kl).sum(1) / s.sum(1)).mean(),
                "orthonormality": gram.flatten(1).norm(dim=1).mean()}


def initial_classifier(per_class):
    own = torch.eye(CLASSES).repeat_interleave(per_class, dim=1)
    return own - 0.5 * (1 - own)


class Reference(Model):
    def __init__(self, image, latent, per_class, encoder, start, stages):
        super().__init__()
        self.features = nn.Sequential(*encoder_layers(image, latent, *encoder))
        self.decoder_layers = nn.Sequential(*decoder_layers(image, latent, start, stages))
        self.prototype_vectors = nn.Parameter(torch.randn(CLASSES * per_class, latent))
        self.ones = nn.Parameter(torch.ones(CLASSES * per_class, latent), requires_grad=False)
        self.last_layer = nn.Linear(CLASSES * per_class, CLASSES, bias=False)
        self.last_layer.weight.data.copy_(initial_classifier(per_class))

    def released_initialisation(self):
        for layer in self.modules():
            if isinstance(layer, (nn.Conv2d, nn.Linear, nn.ConvTranspose2d)) and layer is not self.last_layer:
                nn.init.uniform_(layer.weight, -0.08, 0.08)
                nn.init.zeros_(layer.bias)
        for layer in self.decoder_layers:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        return self

    def posterior(self, images):
        return self.features(images)

    def decode(self, z):
        return torch.tanh(self.decoder_layers(z))

    def bank(self):
        return self.prototype_vectors

    def classifier(self):
        return self.last_layer.weight


class Tail(nn.Module):
    def __init__(self, features, latent):
        super().__init__()
        self.hidden, self.posterior = nn.Linear(features, 2 * latent), nn.Linear(2 * latent, 2 * latent)

    def forward(self, x):
        return self.posterior(torch.relu(self.hidden(x)))


class Resnet18(nn.Module):
    """torchvision's resnet18 with our tail in place of its classifier: `encoder` of the layout `pytorch`."""

    def __init__(self, latent):
        super().__init__()
        net = torchvision.models.resnet18()
        for name, child in net.named_children():
            if name not in ("fc", "relu", "maxpool", "avgpool"):
                setattr(self, name, child)
        self.tail = Tail(512, latent)

    def features(self, x):
        x = torch.relu(self.bn1(self.conv1(x.expand(-1, 3, -1, -1))))
        x = nn.functional.max_pool2d(x, 3, 2, 1)
        return self.layer4(self.layer3(self.layer2(self.layer1(x)))).mean((2, 3))

    def forward(self, x):
        return self.tail(self.features(x))


class Small(nn.Module):
    """A small encoder under the names of the layout `pytorch`."""

    def __init__(self, image, latent, kind, widths):
        super().__init__()
        channels, height, width = image
        self.pooled, self.blocks = kind == "pool", nn.ModuleList()
        for wide in widths:
            self.blocks.append(Block(nn.Conv2d(channels, wide, 3, 1, 1)))
            if not self.pooled:
                self.blocks.append(Block(nn.Conv2d(wide, wide, 4, 2, 1)))
            channels, height, width = wide, height // 2, width // 2
        self.tail = Tail(channels * height * width, latent)

    def forward(self, x):
        for layer in self.blocks:
            x = layer(x)
            if self.pooled:
                x = nn.functional.avg_pool2d(x, 2)
        return self.tail(x.flatten(1))


class FirstLayer(nn.Module):
    def __init__(self, latent, start):
        super().__init__()
        units = start[0] * start[1] * start[2]
        self.linear, self.normalization = nn.Linear(latent, units), nn.BatchNorm1d(units)

    def forward(self, z):
        return self.normalization(torch.relu(self.linear(z)))


class Block(nn.Module):
    def __init__(self, convolution):
        super().__init__()
        self.convolution, self.normalization = convolution, nn.BatchNorm2d(convolution.out_channels)

    def forward(self, x):
        return self.normalization(torch.relu(self.convolution(x)))


class Decoder(nn.Module):
    def __init__(self, image, latent, start, stages):
        super().__init__()
        self.shape, channels = start, start[0]
        self.start, self.stages = FirstLayer(latent, start), nn.ModuleList()
        for kind, wide in stages:
            self.stages.append(Block(stage(kind, channels, wide)))
            channels = wide
        self.output = nn.Conv2d(channels, image[0], 3, 1, 1)

    def forward(self, z):
        x = self.start(z).view(-1, *self.shape)
        for layer in self.stages:
            x = layer(x)
        return torch.tanh(self.output(x))


class Head(nn.Module):
    def __init__(self, latent, per_class):
        super().__init__()
        self.prototypes = nn.Parameter(torch.randn(CLASSES * per_class, latent))
        self.class_weights = nn.Parameter(initial_classifier(per_class))


class Whole(Model):
    def __init__(self, image, latent, per_class, encoder, start, stages):
        super().__init__()
        self.encoder = encoder
        self.decoder = Decoder(image, latent, start, stages)
        self.head = Head(latent, per_class)

    def posterior(self, images):
        return self.encoder(images)

    def decode(self, z):
        return self.decoder(z)

    def bank(self):
        return self.head.prototypes

    def classifier(self):
        return self.head.class_weights


def disturb(model, seed):
    """Makes every bias and everything in a normalisation another number than its initial one."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(tensor, low, high):
        tensor.data.copy_(torch.rand(tensor.shape, generator=generator) * (high - low) + low)

    for layer in model.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            uniform(layer.weight, 0.5, 1.5)
            uniform(layer.running_var, 0.5, 1.5)
            uniform(layer.bias, -0.2, 0.2)
            uniform(layer.running_mean, -0.2, 0.2)
        elif isinstance(getattr(layer, "bias", None), nn.Parameter):
            uniform(layer.bias, -0.1, 0.1)
    return model.eval()
