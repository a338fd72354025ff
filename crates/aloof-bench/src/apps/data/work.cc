#include <algorithm>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <numeric>
#include <regex>
#include <sstream>
#include <string>
#include <unordered_map>
#include <variant>
#include <vector>

using Value = std::variant<int, double, std::string, std::vector<std::string>>;
struct Shape { virtual ~Shape() = default; virtual double area() const = 0; };
template <int N> struct Poly : Shape { double side = N; double area() const override { return side * side * N / 4.0; } };
template <int N> void fill(std::vector<std::unique_ptr<Shape>>& out) {
  out.push_back(std::make_unique<Poly<N>>());
  if constexpr (N > 3) fill<N - 1>(out);
}
int main() {
  std::vector<std::unique_ptr<Shape>> shapes;
  fill<60>(shapes);
  std::map<std::string, Value> values;
  std::unordered_map<std::string, std::function<double(double)>> table;
  std::regex word("([a-z]+)-([0-9]+)");
  std::string text = "alpha-1 beta-22 gamma-333";
  for (std::sregex_iterator it(text.begin(), text.end(), word), end; it != end; ++it) values[(*it)[1]] = std::stoi((*it)[2]);
  for (auto& [key, value] : values) table[key] = [&](double x) { return x + std::get<int>(value); };
  std::ostringstream out;
  for (auto& [key, f] : table) out << key << f(1.5) << '\n';
  std::sort(shapes.begin(), shapes.end(), [](auto& a, auto& b) { return a->area() < b->area(); });
  std::cout << out.str() << std::accumulate(shapes.begin(), shapes.end(), 0.0, [](double s, auto& p) { return s + p->area(); });
}
