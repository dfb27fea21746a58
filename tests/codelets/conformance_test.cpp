// Every op × backend × dtype × case of the op table against its reference; gradients against finite
// differences.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "runtime/core/f16.hpp"
#include "runtime/core/philox.hpp"
#include "runtime/device/cuda.hpp"
#include "runtime/device/opencl.hpp"
#include "runtime/exec/executor.hpp"
#include "tests/device/fake_engine.hpp"

namespace tessera {
namespace {

constexpr double c = 8;  // of the one tolerance, c · sqrt(k) · eps of the storage type

// Where kernels run: the CPU, a device by its index, or the same device through the launches of CUDA; with
// TESSERA_TEST_CUDA=real, a GPU.
enum class Backend : uint8_t { cpu, opencl, cuda };

bool real_cuda() {
  const char* which = std::getenv("TESSERA_TEST_CUDA");
  return which && which == std::string_view("real");
}

std::unique_ptr<Engine> engine_of(Backend backend) {
  if (backend == Backend::cpu) return make_engine({.engine = "threads", .workers = 2});
  if (backend == Backend::cuda && real_cuda()) return make_engine({.engine = "device", .cuda = {0}});
  if (backend == Backend::cuda) return make_fake_cuda_engine();
  const char* index = std::getenv("TESSERA_TEST_OPENCL");  // of another device than the first
  return make_engine({.engine = "device", .opencl = {index ? std::atoi(index) : 0}});
}

// A device that is asked for by name must be there.
std::string why_not(Backend backend) {
  if (backend == Backend::opencl && opencl_devices().empty() && !std::getenv("TESSERA_TEST_OPENCL"))
    return "no OpenCL device";
  if (backend == Backend::cuda && real_cuda()) return cuda_devices().empty() ? why_no_cuda() : "";
  return backend == Backend::cuda ? why_no_fake_cuda() : "";
}

// Parameters print as op/backend/dtype/case.
struct Conformance {
  Backend backend;
  std::string_view op;
  DType dtype;
  Case the_case;
};

// CPU kernels store no f16 but in a key/value cache, which has cases of its own for it.
std::vector<Conformance> all_cases(Backend backend) {
  std::vector<DType> dtypes{DType::f32, DType::bf16};
  if (backend != Backend::cpu) dtypes.push_back(DType::f16);
  std::vector<Conformance> list;
  for (const OpEntry& entry : op_table())
    for (DType dtype : dtypes)
      for (Case& one : entry.cases(dtype)) list.push_back({backend, entry.name, dtype, std::move(one)});
  return list;
}

std::string name_of_case(const Conformance& which, size_t index) {
  std::string text = fmt::format("{}_{}_{}_{}", which.op, name_of(which.dtype), which.the_case.name, index);
  for (char& letter : text)
    if (!std::isalnum(static_cast<unsigned char>(letter))) letter = '_';
  return text;
}

double uniform(uint32_t stream, size_t element) {
  return unit_float(philox({static_cast<uint32_t>(element), stream, 7, 0}, {2026, 11})[0]);
}

double rounded(double value, DType dtype) {
  const float narrow = static_cast<float>(value);
  if (dtype == DType::bf16) return static_cast<float>(bf16(narrow));
  return dtype == DType::f16 ? static_cast<float>(f16(narrow)) : narrow;
}

HostArray filled(const Case::Input& input, uint32_t stream) {
  HostArray array(input.type);
  for (size_t i = 0; i < array.size(); ++i) {
    const double u = uniform(stream, i);
    if (!input.values.empty())
      array[i] = input.values[i % input.values.size()];
    else if (input.type.dtype == DType::i32)
      array[i] = std::floor(input.low + u * (input.high - input.low + 1));
    else
      array[i] = input.low + u * (input.high - input.low);
    if (is_float(input.type.dtype)) array[i] = rounded(array[i], input.type.dtype);
  }
  return array;
}

std::vector<std::byte> stored(const HostArray& array) {
  std::vector<std::byte> bytes(static_cast<size_t>(array.type.bytes()));
  for (size_t i = 0; i < array.size(); ++i) {
    if (array.type.dtype == DType::f32)
      reinterpret_cast<float*>(bytes.data())[i] = static_cast<float>(array[i]);
    if (array.type.dtype == DType::bf16)
      reinterpret_cast<bf16*>(bytes.data())[i] = bf16(static_cast<float>(array[i]));
    if (array.type.dtype == DType::f16)
      reinterpret_cast<f16*>(bytes.data())[i] = f16(static_cast<float>(array[i]));
    if (array.type.dtype == DType::i32)
      reinterpret_cast<int32_t*>(bytes.data())[i] = static_cast<int32_t>(array[i]);
  }
  return bytes;
}

std::vector<HostArray> reference_of(const Op& op, const std::vector<HostArray>& in,
                                    const std::vector<TensorType>& types) {
  std::vector<HostArray> out;
  for (const TensorType& type : types) out.emplace_back(type);
  op.reference(in, out);
  return out;
}

// A task with a kernel that devices lack would pass on the CPU, and prove nothing.
bool all_on_device(const Plan& plan) {
  for (const Task& task : plan.tasks)
    for (const Stage& stage : task.stages)
      if (!stage.kernel->gpu) return false;
  return true;
}

double largest(const HostArray& array) {
  double most = 0;
  for (double value : array.values) most = std::max(most, std::abs(value));
  return most;
}

// Inputs that the op updates in place are variables, the others inputs of the graph.
class ConformanceTest : public testing::TestWithParam<Conformance> {
 protected:
  void SetUp() override {
    if (const std::string why = why_not(GetParam().backend); !why.empty()) GTEST_SKIP() << why;
    const Case& one = GetParam().the_case;
    for (size_t k = 0; k < one.inputs.size(); ++k) {
      host_.push_back(filled(one.inputs[k], static_cast<uint32_t>(k)));
      types_.push_back(one.inputs[k].type);
      storage_eps_ = std::max(storage_eps_, epsilon_of(one.inputs[k].type.dtype));
    }
    out_types_ = one.op->infer(types_);
    for (const TensorType& type : out_types_) storage_eps_ = std::max(storage_eps_, epsilon_of(type.dtype));
    for (size_t k = 0; k < out_types_.size(); ++k)
      if (int source = one.op->alias(static_cast<int>(k)); source >= 0) in_place_.push_back(source);
  }

  void TearDown() override {
    if (GetParam().backend != Backend::cuda || real_cuda()) return;
    EXPECT_THAT(fake_cuda_problems(), testing::IsEmpty());
  }

  void build() {
    const Case& one = GetParam().the_case;
    for (size_t k = 0; k < types_.size(); ++k) {
      const std::string name = "in" + std::to_string(k);
      const bool variable =
          std::find(in_place_.begin(), in_place_.end(), static_cast<int>(k)) != in_place_.end();
      in_.push_back(variable ? graph_.variable(name, types_[k].shape, types_[k].dtype)
                             : graph_.input(name, types_[k].shape, types_[k].dtype));
    }
    out_ = graph_.apply(one.op, in_);
  }

  using Fed = std::vector<std::pair<Tensor, HostArray>>;
  std::vector<std::vector<double>> run(const std::vector<Tensor>& wanted, const Fed& more = {}) {
    for (Tensor tensor : wanted) graph_.fetch(tensor);
    Session session(engine_of(GetParam().backend));
    Executor executor(session, make_plan(graph_, {.tiling = Tiling::parse(GetParam().the_case.tiling)}),
                      {.poison = true, .strict_devices = true});
    if (GetParam().backend != Backend::cpu && !all_on_device(executor.plan()))
      return missing_ = true, std::vector<std::vector<double>>();
    std::vector<std::vector<std::byte>> bytes;
    std::vector<Feed> feeds;
    bytes.reserve(host_.size() + more.size());
    for (size_t k = 0; k < host_.size(); ++k) {
      bytes.push_back(stored(host_[k]));
      if (graph_.info(in_[k]).kind == TensorInfo::Kind::input)
        feeds.emplace_back(in_[k], bytes.back());
      else if (session.has(in_[k].name()))
        session.write(in_[k].name(), bytes.back().data());
    }
    for (const auto& [tensor, array] : more) {
      bytes.push_back(stored(array));
      feeds.emplace_back(tensor, bytes.back());
    }
    const Executor::Step step = executor.run(feeds);
    step.wait();
    std::vector<std::vector<double>> result;
    for (Tensor tensor : wanted) {
      const int source = updated_input(tensor);
      const std::vector<float> values =
          source < 0 ? step.get(tensor) : session.get(in_[static_cast<size_t>(source)].name());
      result.emplace_back(values.begin(), values.end());
    }
    return result;
  }

  int updated_input(Tensor tensor) const {
    for (size_t k = 0; k < out_.size(); ++k)
      if (out_[k] == tensor) return GetParam().the_case.op->alias(static_cast<int>(k));
    return -1;
  }

  Graph graph_;
  std::vector<HostArray> host_;
  std::vector<TensorType> types_, out_types_;
  std::vector<int> in_place_;
  std::vector<Tensor> in_, out_;
  double storage_eps_ = 0;
  bool missing_ = false;  // a device kernel
};

TEST_P(ConformanceTest, MatchesItsReference) {
  const Case& one = GetParam().the_case;
  build();
  const std::vector<std::vector<double>> got = run(out_);
  if (missing_) GTEST_SKIP() << "no device kernel yet";
  const std::vector<HostArray> expected = reference_of(*one.op, host_, out_types_);
  for (size_t k = 0; k < expected.size(); ++k) {
    const double scale = std::max(1e-30, largest(expected[k]));
    const double rounding = is_float(out_types_[k].dtype) ? storage_eps_ : 0;  // indices are exact
    const double tolerance = c * std::sqrt(static_cast<double>(one.sum_length)) * rounding * scale;
    for (size_t i = 0; i < expected[k].size(); ++i)
      ASSERT_NEAR(got[k][i], expected[k][i], tolerance)
          << "output " << k << ", element " << i << " of " << to_string(expected[k].type.shape);
  }
}

// Along one random direction per input: d/dh Σ w·f(x + h·v) by central differences of the reference, against
// Σ v·(gradient of Σ w·f) as the executor computes it.
TEST_P(ConformanceTest, GradientMatchesFiniteDifferences) {
  const Case& one = GetParam().the_case;
  if (!one.check_gradient || !in_place_.empty()) return;  // nothing to differentiate in this case
  build();
  Tensor seed = graph_.input("d_out", out_types_[0].shape, out_types_[0].dtype);
  const HostArray weights = filled({.type = out_types_[0]}, 100);
  std::vector<Tensor> d_out(out_.size());  // further outputs are statistics for the backward pass
  d_out[0] = seed;
  const std::vector<Tensor> gradients = one.op->grad({in_, out_, d_out});
  std::vector<Tensor> wanted;
  std::vector<size_t> inputs;
  for (size_t k = 0; k < in_.size(); ++k) {
    if (!is_float(types_[k].dtype) || !one.inputs[k].differentiate) continue;
    ASSERT_TRUE(k < gradients.size() && gradients[k]) << "no gradient for input " << k;
    ASSERT_TRUE(gradients[k].shape().same_sizes(types_[k].shape)) << "input " << k;
    wanted.push_back(gradients[k]);
    inputs.push_back(k);
  }
  // A gradient may be the seed itself (of an addition); an executor fetches results only.
  std::vector<std::vector<double>> got(wanted.size());
  std::vector<Tensor> computed;
  for (Tensor tensor : wanted)
    if (tensor != seed) computed.push_back(tensor);
  if (!computed.empty()) {
    const auto values = run(computed, {{seed, weights}});
    if (missing_) GTEST_SKIP() << "no device kernel yet";
    for (size_t w = 0, k = 0; w < wanted.size(); ++w)
      if (wanted[w] != seed) got[w] = values[k++];
  }
  for (size_t w = 0; w < wanted.size(); ++w) {
    if (wanted[w] == seed) got[w] = weights.values;
    const HostArray direction = filled({.type = {types_[inputs[w]].shape, DType::f32}}, 200);
    const double h = 1e-4;
    auto loss = [&](double at) {
      std::vector<HostArray> moved = host_;
      for (size_t i = 0; i < direction.size(); ++i) moved[inputs[w]][i] += at * direction[i];
      const std::vector<HostArray> y = reference_of(*one.op, moved, out_types_);
      double sum = 0;
      for (size_t i = 0; i < y[0].size(); ++i) sum += y[0][i] * weights[i];
      return sum;
    };
    const double expected = (loss(h) - loss(-h)) / (2 * h);
    double actual = 0, length = 0;
    for (size_t i = 0; i < direction.size(); ++i) {
      actual += got[w][i] * direction[i];
      length += got[w][i] * got[w][i];
    }
    // Rounding errors of the gradient's elements add up like a random walk along the direction.
    const double scale = std::max({std::sqrt(length), std::abs(expected), 1e-6});
    const double tolerance = c * std::sqrt(static_cast<double>(one.sum_length)) * storage_eps_ + 1e-6;
    EXPECT_NEAR(actual, expected, tolerance * scale) << "input " << inputs[w];
  }
}

INSTANTIATE_TEST_SUITE_P(Cpu, ConformanceTest, testing::ValuesIn(all_cases(Backend::cpu)),
                         [](const auto& which) { return name_of_case(which.param, which.index); });
INSTANTIATE_TEST_SUITE_P(Cuda, ConformanceTest, testing::ValuesIn(all_cases(Backend::cuda)),
                         [](const auto& which) { return name_of_case(which.param, which.index); });
INSTANTIATE_TEST_SUITE_P(Opencl, ConformanceTest, testing::ValuesIn(all_cases(Backend::opencl)),
                         [](const auto& which) { return name_of_case(which.param, which.index); });

void PrintTo(const Conformance& which, std::ostream* out) {
  *out << which.op << ' ' << name_of(which.dtype) << ' ' << which.the_case.name;
}

}  // namespace
}  // namespace tessera
