"""The usual networks of a course, trained for a few steps."""

from __future__ import annotations

import io
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from tests.tutorials.compare import Course, agree


def test_mlp_classifier() -> None:
    def program(c: Course) -> Any:
        torch, nn = c.torch, c.nn

        class Net(nn.Module):  # type: ignore[name-defined, misc]
            def __init__(self) -> None:
                super().__init__()
                self.flatten = nn.Flatten()
                self.stack = nn.Sequential(
                    nn.Linear(16, 12), nn.ReLU(), nn.Linear(12, 8), nn.GELU(), nn.Linear(8, 3)
                )

            def forward(self, x: Any) -> Any:
                return self.stack(self.flatten(x))

        model = c.initialise(Net())
        X, y = c.normal(30, 1, 4, 4), torch.tensor(c.rng.integers(0, 3, 30))
        loss_fn = nn.CrossEntropyLoss(label_smoothing=0.1)
        optimizer = c.optim.Adam(model.parameters(), lr=1e-2, weight_decay=1e-3)
        losses = []
        model.train()
        for _ in range(10):
            pred = model(X)
            loss = loss_fn(pred, y)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.item())
        model.eval()
        with torch.no_grad():
            logits = model(X)
            correct = (logits.argmax(1) == y).type(torch.float).sum().item()
        assert losses[-1] < losses[0]
        return losses, correct, nn.Softmax(dim=1)(logits)

    agree(program, rtol=1e-4, atol=1e-5)


def test_convolutional_classifier_with_batch_norm() -> None:
    def program(c: Course) -> Any:
        torch, nn, F = c.torch, c.nn, c.F

        class LeNet(nn.Module):  # type: ignore[name-defined, misc]
            def __init__(self) -> None:
                super().__init__()
                self.conv1 = nn.Conv2d(1, 4, 3, padding=1)
                self.bn = nn.BatchNorm2d(4)
                self.conv2 = nn.Conv2d(4, 6, 3)
                self.fc = nn.Linear(6, 3)

            def forward(self, x: Any) -> Any:
                x = F.max_pool2d(F.relu(self.bn(self.conv1(x))), 2)
                x = F.relu(self.conv2(x))
                x = F.adaptive_avg_pool2d(x, 1)
                return F.log_softmax(self.fc(torch.flatten(x, 1)), dim=1)

        model = c.initialise(LeNet())
        optimizer = c.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True)
        X, y = c.normal(8, 1, 8, 8), torch.arange(8) % 3
        losses = []
        for _ in range(4):
            optimizer.zero_grad()
            loss = F.nll_loss(model(X), y)
            loss.backward()
            norm = nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            losses += [loss.item(), norm.item()]
        model.eval()
        return losses, model(X), model.bn.running_mean, model.bn.running_var

    agree(program, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_character_model(kind: str) -> None:
    def program(c: Course) -> Any:
        torch, nn, F = c.torch, c.nn, c.F
        text = "hello chain rule "
        letters = sorted(set(text))
        codes = torch.tensor([letters.index(ch) for ch in text])
        embed = c.initialise(nn.Embedding(len(letters), 6))
        rnn = c.initialise(getattr(nn, kind)(6, 10, num_layers=2, batch_first=True))
        head = c.initialise(nn.Linear(10, len(letters)))
        params = [p for m in (embed, rnn, head) for p in m.parameters()]
        optimizer = c.optim.Adam(params, lr=0.02)
        hidden, losses = None, []
        for _ in range(6):
            out, hidden = rnn(embed(codes[None, :-1]), hidden)
            hidden = (
                tuple(h.detach() for h in hidden) if isinstance(hidden, tuple) else hidden.detach()
            )
            loss = F.cross_entropy(head(out).view(-1, len(letters)), codes[1:])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert losses[-1] < losses[0]
        return losses, rnn.weight_hh_l1.grad

    agree(program, rtol=1e-4, atol=1e-5)


def test_character_model_with_cells_and_teacher_forcing() -> None:
    def program(c: Course) -> Any:
        torch, nn, F = c.torch, c.nn, c.F
        cell, head = c.initialise(nn.LSTMCell(5, 7)), c.initialise(nn.Linear(7, 5))
        params = [*cell.parameters(), *head.parameters()]
        codes = torch.tensor([0, 3, 1, 4, 2, 0, 1])
        h, s = torch.zeros(1, 7), torch.zeros(1, 7)
        loss = torch.zeros(())
        for now, after in pairwise(codes):
            x = F.one_hot(now, 5).float().unsqueeze(0)
            h, s = cell(x, (h, s))
            loss += F.cross_entropy(head(h), after.view(1))
        loss.backward()
        return loss, [p.grad for p in params]

    agree(program)


def test_logistic_regression_with_a_data_loader() -> None:
    def program(c: Course) -> Any:
        torch, nn = c.torch, c.nn

        class Points(c.data.Dataset):  # type: ignore[name-defined, misc]
            def __init__(self) -> None:
                self.x = c.normal(23, 2)
                self.y = (self.x.sum(1) > 0).float()

            def __len__(self) -> int:
                return len(self.x)

            def __getitem__(self, i: int) -> Any:
                return self.x[i], self.y[i]

        loader = c.data.DataLoader(Points(), batch_size=5, shuffle=False, drop_last=False)
        model = c.initialise(nn.Linear(2, 1))
        optimizer = c.optim.SGD(model.parameters(), lr=0.5)
        criterion = nn.BCEWithLogitsLoss(pos_weight=torch.tensor(1.5))
        total = []
        for _ in range(4):
            running = 0.0
            for x, y in loader:
                optimizer.zero_grad()
                loss = criterion(model(x).squeeze(1), y)
                loss.backward()
                optimizer.step()
                running += loss.item() * x.size(0)
            total.append(running / len(loader.dataset))
        assert len(loader) == 5
        return total, model.weight, model.bias

    agree(program)


def test_variational_autoencoder() -> None:
    def program(c: Course) -> Any:
        torch, nn, F = c.torch, c.nn, c.F

        class VAE(nn.Module):  # type: ignore[name-defined, misc]
            def __init__(self) -> None:
                super().__init__()
                self.fc1 = nn.Linear(12, 8)
                self.mu, self.logvar = nn.Linear(8, 2), nn.Linear(8, 2)
                self.fc3, self.fc4 = nn.Linear(2, 8), nn.Linear(8, 12)

            def forward(self, x: Any, eps: Any) -> Any:
                h = F.relu(self.fc1(x.view(-1, 12)))
                mu, logvar = self.mu(h), self.logvar(h)
                z = mu + eps * torch.exp(0.5 * logvar)
                return torch.sigmoid(self.fc4(F.relu(self.fc3(z)))), mu, logvar

        model = c.initialise(VAE())
        optimizer = c.optim.AdamW(model.parameters(), lr=1e-2)
        x, losses = c.uniform(6, 3, 4), []
        for _ in range(5):
            recon, mu, logvar = model(x, c.normal(6, 2))
            bce = F.binary_cross_entropy(recon, x.view(-1, 12), reduction="sum")
            kld = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
            loss = bce + kld
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return losses

    agree(program)


def test_text_classifier_with_an_embedding_bag() -> None:
    def program(c: Course) -> Any:
        torch, nn = c.torch, c.nn
        text = torch.tensor([1, 2, 4, 5, 4, 3, 2, 9])
        offsets = torch.tensor([0, 3, 4])
        bag = c.initialise(nn.EmbeddingBag(10, 4, mode="mean"))
        head = c.initialise(nn.Linear(4, 2))
        optimizer = c.optim.SGD([*bag.parameters(), *head.parameters()], lr=1.0)
        scheduler = c.optim.lr_scheduler.StepLR(optimizer, 2, gamma=0.1)
        losses = []
        for _ in range(4):
            loss = nn.CrossEntropyLoss()(head(bag(text, offsets)), torch.tensor([0, 1, 1]))
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(bag.parameters(), 0.1)
            optimizer.step()
            scheduler.step()
            losses += [loss.item(), optimizer.param_groups[0]["lr"]]
        return losses, bag.weight

    agree(program)


def test_word_embeddings_by_n_grams() -> None:
    def program(c: Course) -> Any:
        torch, nn, F = c.torch, c.nn, c.F
        text = "when forty winters shall besiege thy brow and dig deep trenches in thy"
        words = text.split()
        vocab = {w: i for i, w in enumerate(dict.fromkeys(words))}
        grams = [(words[i - 2 : i], words[i]) for i in range(2, len(words))]
        emb = c.initialise(nn.Embedding(len(vocab), 5))
        hidden = c.initialise(nn.Linear(10, 16))
        out = c.initialise(nn.Linear(16, len(vocab)))
        params = [p for m in (emb, hidden, out) for p in m.parameters()]
        optimizer = c.optim.SGD(params, lr=0.1)
        losses = []
        for _ in range(2):
            total = 0.0
            for context, target in grams:
                idx = torch.tensor([vocab[w] for w in context], dtype=torch.long)
                h = F.relu(hidden(emb(idx).view((1, -1))))
                log_probs = F.log_softmax(out(h), dim=1)
                goal = torch.tensor([vocab[target]], dtype=torch.long)
                loss = nn.NLLLoss()(log_probs, goal)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                total += loss.item()
            losses.append(total)
        return losses, emb.weight[vocab["thy"]]

    agree(program)


def test_masked_attention_over_words() -> None:
    def program(c: Course) -> Any:
        torch, nn, F = c.torch, c.nn, c.F
        query, key, value = (c.initialise(nn.Linear(6, 6, bias=False)) for _ in range(3))
        x = c.normal(2, 5, 6).requires_grad_()
        lengths = torch.tensor([5, 3])
        mask = torch.arange(5)[None, :] < lengths[:, None]
        scores = query(x) @ key(x).transpose(-2, -1) / 6**0.5
        scores = scores.masked_fill(~mask[:, None, :], float("-inf"))
        weights = F.softmax(scores, dim=-1)
        out = torch.bmm(weights, value(x))
        fused = F.scaled_dot_product_attention(query(x), key(x), value(x), mask[:, None, :])
        assert torch.allclose(out, fused, atol=1e-5)
        out.pow(2).mean().backward()
        mha = c.initialise(nn.MultiheadAttention(6, 2, batch_first=True))
        attended, probs = mha(x, x, x, key_padding_mask=~mask)
        attended.sum().backward()
        return out, x.grad, query.weight.grad, attended, probs

    agree(program, atol=1e-5)


def test_lbfgs_fit() -> None:
    def program(c: Course) -> Any:
        torch = c.torch
        x = torch.linspace(0, 3, 40, dtype=torch.float64)
        y = 1.5 * torch.exp(-0.8 * x) + 0.2
        p = torch.tensor([1.0, 0.1, 0.0], dtype=torch.float64, requires_grad=True)
        optimizer = c.optim.LBFGS([p], lr=1, max_iter=30, line_search_fn="strong_wolfe")

        def closure() -> Any:
            optimizer.zero_grad()
            loss = ((p[0] * torch.exp(-p[1] * x) + p[2] - y) ** 2).mean()
            loss.backward()
            return loss

        first = optimizer.step(closure)
        optimizer.step(closure)
        return first, p

    numbers = agree(program, rtol=1e-4)
    assert np.allclose(numbers[1:], [1.5, 0.8, 0.2], atol=1e-3)


def test_adversarial_networks_on_a_line() -> None:
    def program(c: Course) -> Any:
        torch, nn = c.torch, c.nn
        G = c.initialise(nn.Sequential(nn.Linear(1, 6), nn.LeakyReLU(0.2), nn.Linear(6, 1)))
        D = c.initialise(nn.Sequential(nn.Linear(1, 6), nn.Tanh(), nn.Linear(6, 1), nn.Sigmoid()))
        g_opt = c.optim.Adam(G.parameters(), lr=1e-2, betas=(0.5, 0.999))
        d_opt = c.optim.Adam(D.parameters(), lr=1e-2, betas=(0.5, 0.999))
        criterion = nn.BCELoss()
        losses = []
        for _ in range(5):
            real, fake = c.normal(16, 1) * 0.5 + 3, G(c.normal(16, 1))
            D.zero_grad()
            d_real = criterion(D(real), torch.ones(16, 1))
            d_real.backward()
            d_fake = criterion(D(fake.detach()), torch.zeros(16, 1))
            d_fake.backward()
            d_opt.step()
            G.zero_grad()
            g_loss = criterion(D(fake), torch.ones(16, 1))
            g_loss.backward()
            g_opt.step()
            losses += [(d_real + d_fake).item(), g_loss.item()]
        return losses

    agree(program)


def test_policy_gradient() -> None:
    def program(c: Course) -> Any:
        torch, nn, F = c.torch, c.nn, c.F
        policy = c.initialise(nn.Linear(3, 2))
        optimizer = c.optim.RMSprop(policy.parameters(), lr=1e-2)
        history = []
        for _ in range(4):
            log_probs, rewards, state = [], [], c.normal(3)
            for _ in range(6):
                probs = F.softmax(policy(state), dim=-1)
                action = int(c.rng.uniform() > probs[0].item())
                log_probs.append(torch.log(probs[action]))
                rewards.append(1.0 if action == int(state[0] > 0) else 0.0)
                state = c.normal(3)
            returns: list[float] = []
            R = 0.0
            for r in rewards[::-1]:
                R = r + 0.9 * R
                returns.insert(0, R)
            G = torch.tensor(returns)
            G = (G - G.mean()) / (G.std() + 1e-6)
            loss = torch.stack([-lp * g for lp, g in zip(log_probs, G, strict=True)]).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            history.append(loss.item())
        return history, policy.weight

    agree(program, rtol=1e-4, atol=1e-5)


def test_initialisation_schedule_checkpoint_and_resume() -> None:
    def program(c: Course) -> Any:
        torch, nn = c.torch, c.nn

        def build() -> Any:
            def init_weights(m: Any) -> None:
                if isinstance(m, nn.Linear):
                    nn.init.constant_(m.weight, 0.1)
                    nn.init.zeros_(m.bias)

            model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
            model.apply(init_weights)
            optimizer = c.optim.Adam(model.parameters(), lr=0.1)
            scheduler = c.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=10)
            return model, optimizer, scheduler

        def train(model: Any, optimizer: Any, scheduler: Any, steps: int) -> list[float]:
            losses = []
            for _ in range(steps):
                loss = nn.functional.mse_loss(model(x), y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                scheduler.step()
                losses += [loss.item(), scheduler.get_last_lr()[0]]
            return losses

        x, y = c.normal(10, 3), c.normal(10, 1)
        first = build()
        losses = train(*first, 3)
        file = io.BytesIO()
        names = ("model", "optimizer", "scheduler")
        torch.save({n: o.state_dict() for n, o in zip(names, first, strict=True)}, file)
        rest = train(*first, 3)
        file.seek(0)
        checkpoint = torch.load(file)
        second = build()
        for n, o in zip(names, second, strict=True):
            o.load_state_dict(checkpoint[n])
        assert train(*second, 3) == rest
        return losses, rest

    agree(program)
