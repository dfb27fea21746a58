// An op for tests: calls a function of the test's on every tile.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "runtime/graph/graph.hpp"
#include "runtime/plan/lowering.hpp"

namespace tessera::testing_ops {

struct CallOptions {
  bool light = false;
  int in_place = -1;  // the input that output 0 takes over
  void (*gpu)(const TileArgs&, DeviceQueue&) = nullptr;
};

// Inputs cut like the output are read tile by tile, others whole; the body sees them in order, the output
// last.
struct Call final : Op {
  using Body = std::function<void(const TileArgs&)>;

  Call(std::string name, std::vector<TensorType> out, Body body, CallOptions options)
      : name_(std::move(name)),
        out_(std::move(out)),
        body_(std::move(body)),
        options_(options),
        kernel_{.name = name_,
                .cpu = [](const TileArgs& args) { args.attributes<Call>().body_(args); },
                .gpu = options.gpu,
                .light = options.light} {}

  std::string_view name() const override { return name_; }
  int alias(int output) const override { return output == 0 ? options_.in_place : -1; }
  std::vector<TensorType> infer(std::span<const TensorType>) const override { return out_; }
  void reference(HostIn, HostOut) const override {}

  void lower(Lowering& to) const override {
    const TileGrid& first = to.out(0);
    for (int i = 0; i < first.rows.count(); ++i)
      for (int j = 0; j < first.cols.count(); ++j) {
        std::vector<Access> accesses;
        for (int k = 0; k < to.n_inputs(); ++k) {
          if (k == options_.in_place) continue;
          const TileGrid& in = to.in(k);
          if (in.rows == first.rows && in.cols == first.cols)
            accesses.push_back(read(in(i, j)));
          else
            for (TileId tile : in.tiles) accesses.push_back(read(tile));
        }
        for (int k = 0; k < to.n_outputs(); ++k) {
          const TileId tile = to.out(k)(i, j);
          accesses.push_back(k == 0 && options_.in_place >= 0 ? update(tile) : write(tile));
        }
        to.task(kernel_, std::move(accesses), {.index = {i, j}});
      }
  }

 private:
  std::string name_;  // keeps what the kernel's name points to
  std::vector<TensorType> out_;
  Body body_;
  CallOptions options_;
  Kernel kernel_;
};

inline std::vector<Tensor> call_many(const std::string& name, std::vector<Tensor> in,
                                     std::vector<TensorType> out, Call::Body body, CallOptions options = {}) {
  Graph& graph = *in.at(0).graph;
  return graph.apply(std::make_shared<Call>(name, std::move(out), std::move(body), options), std::move(in));
}

// Result: like the first input, or like the one updated in place.
inline Tensor call(const std::string& name, const std::vector<Tensor>& in, Call::Body body,
                   CallOptions options = {}) {
  const Tensor like = in.at(options.in_place < 0 ? 0 : static_cast<size_t>(options.in_place));
  return call_many(name, in, {like.type()}, std::move(body), options)[0];
}

// y = f(x…), element by element, for f32 tensors of one size.
template <class F>
Call::Body each(const F& f) {
  return [f](const TileArgs& args) {
    const size_t last = args.count() - 1;
    for (int64_t i = 0; i < args[last].size(); ++i) {
      std::vector<float> x;
      for (size_t k = 0; k < last; ++k) x.push_back(args[k].as<float>()[args[k].size() == 1 ? 0 : i]);
      float& y = args[last].as<float>()[i];
      y = f(x, y);
    }
  };
}

}  // namespace tessera::testing_ops
