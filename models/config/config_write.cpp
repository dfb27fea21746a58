// Writing a configuration out in full.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <iterator>

#include "models/config/config.hpp"
#include "models/config/config_names.hpp"

namespace tessera {
namespace {

// A TOML basic string.
std::string text(std::string_view value) {
  std::string out = "\"";
  for (char c : value) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned char>(c));
    } else {
      out += c;
    }
  }
  return out + '"';
}

template <class E, size_t n>
std::string text(E value, const std::array<std::pair<std::string_view, E>, n>& words) {
  return text(word_for(value, words));
}

std::string model_table(const ModelConfig& m) {
  std::string out =
      fmt::format("[model]\nkind = {}\nlayers = {}\nheads = {}\nkv_heads = {}\nwidth = {}\nffn = {}\n",
                  text(m.kind, model_kinds), m.layers, m.heads, m.kv_heads, m.width, m.ffn);
  if (m.vocab > 0) out += fmt::format("vocab = {}\n", m.vocab);
  return out + fmt::format(
                   "seq = {}\nbias = {}\nactivation = {}\ntied = {}\nnorm_eps = {}\nrope_theta = "
                   "{}\ninit_std = {}\n",
                   m.seq, m.bias, text(m.activation, activations), m.tied, m.norm_eps, m.rope_theta,
                   m.init_std);
}

std::string data_table(const DataConfig& d) {
  if (d.kind == DataKind::addition)
    return fmt::format("[data]\nkind = \"addition\"\ndigits = {}\nheld_out = {}\n", d.digits, d.held_out);
  return fmt::format("[data]\nkind = \"text\"\npath = {}\ntokenizer = {}\n", text(d.path), text(d.tokenizer));
}

std::string train_table(const TrainConfig& t) {
  return fmt::format(
             "[train]\nsteps = {}\nbatch = {}\naccumulate = {}\noptimizer = {}\nlr = {}\nmin_lr = {}\nwarmup "
             "= {}\n"
             "schedule = {}\nbetas = [{}, {}]\neps = {}\nmomentum = {}\nweight_decay = {}\nclip = {}\n",
             t.steps, t.batch, t.accumulate, text(t.optimizer, optimizers), t.lr, t.min_lr, t.warmup,
             text(t.schedule, schedules), t.betas[0], t.betas[1], t.eps, t.momentum, t.weight_decay, t.clip) +
         fmt::format(
             "dropout = {}\nlabel_smoothing = {}\nrecompute = {}\nnon_finite = {}\nseed = "
             "{}\ncheckpoint_every = {}\n"
             "keep = {}\nval_every = {}\n",
             t.dropout, t.label_smoothing, text(t.recompute, recomputes), text(t.non_finite, non_finites),
             t.seed, t.checkpoint_every, t.keep, t.val_every);
}

std::string run_table(const RunConfig& r) {
  std::vector<std::string> devices;
  for (const std::string& device : r.devices) devices.push_back(text(device));
  std::string out = fmt::format(
      "[run]\nworkers = {}\ndevices = [{}]\nscheduler = {}\ndtype = {}\ntiling = {}\ntrace = {}\n", r.workers,
      fmt::join(devices, ", "), text(r.scheduler), text(r.dtype, run_dtypes), text(r.tiling), text(r.trace));
  if (r.device_memory > 0) out += fmt::format("device_memory = {}\n", r.device_memory);
  if (r.host_memory > 0) out += fmt::format("host_memory = {}\n", r.host_memory);
  if (!r.swap.empty()) out += fmt::format("swap = {}\n", text(r.swap));
  return out;
}

}  // namespace

std::string to_toml(const Config& config) {
  return fmt::format("{}\n{}\n{}\n{}", model_table(config.model), data_table(config.data),
                     train_table(config.train), run_table(config.run));
}

}  // namespace tessera
