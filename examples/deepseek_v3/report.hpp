// What a run says: the next tokens on the screen, everything in a JSON file.
#pragma once

#include <fstream>
#include <iosfwd>
#include <string>
#include <vector>

#include "forward.hpp"

namespace deepseek_v3 {

/// The `count` most probable tokens after the last one, with probabilities and logits; then where the time went.
void print_summary(std::ostream& out, forward_result const& r, int count);

/// A JSON file that appears at `path` whole or not at all: written beside it, then renamed. Opened before the run, so that a path that
/// cannot be written costs no run. Throws input_error.
class report_file {
 public:
  explicit report_file(std::string path);
  ~report_file();
  report_file(report_file const&) = delete;
  report_file& operator=(report_file const&) = delete;

  /// tokens; logits [T][vocab]; argmax [T]; experts, expert_weights [MoE layer][T][K]; timings {stage: seconds}; bytes.
  void write(forward_result const& r, std::vector<int> const& tokens);

 private:
  std::string path_, partial_;
  std::ofstream file_;
};

}  // namespace deepseek_v3
