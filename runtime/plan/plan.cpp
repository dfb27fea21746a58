// Making a plan: the passes in order.
// SPDX-License-Identifier: Apache-2.0
#include "runtime/plan/plan.hpp"

#include <algorithm>

#include "runtime/plan/lowering.hpp"
#include "runtime/plan/passes.hpp"

namespace tessera {

Program::Program(const Graph& source) : graph(&source), tensors(source.tensors()), nodes(source.nodes()) {
  for (Tensor tensor : source.fetches()) fetches.push_back(tensor.id);
}

Plan make_plan(const Graph& graph, const PlanOptions& options) {
  Plan plan;
  plan.tiling = options.tiling;
  plan.program = Program(graph);
  prune(plan.program);
  if (options.fold) fold(plan.program);  // looks at who reads what, which recompute changes
  recompute(plan.program, options.recompute);
  if (options.lay_out) lay_out_variables(plan);
  PlanBuilder(plan, options.pack).lower_all();
  order_micro_batches(plan, options.micro_batches);
  if (options.fuse) fuse(plan);
  if (options.join_chains) join_chains(plan);
  plan.for_one_device = static_cast<bool>(options.runs);
  if (options.runs) join_runs(plan, options.runs);
  assign_buffers(plan);
  place(plan, options.placement);
  link_tasks(plan);
  prioritise(plan);
  return plan;
}

namespace {

constexpr int64_t most_bytes = int64_t{1}
                               << 59;  // more than any machine has; a few times that does not overflow

int64_t bytes_of(const Plan& plan, Residence residence) {
  int64_t bytes = 0;
  for (const Buffer& buffer : plan.buffers)
    if (buffer.residence == residence) bytes = std::min(bytes + buffer.bytes, most_bytes);
  return bytes;
}

}  // namespace

int64_t Plan::intermediate_bytes() const { return bytes_of(*this, Residence::intermediate); }
int64_t Plan::variable_bytes() const { return bytes_of(*this, Residence::variable); }
int64_t Plan::transfer_bytes() const {
  return step_sets * (bytes_of(*this, Residence::input) + bytes_of(*this, Residence::fetch));
}

}  // namespace tessera
