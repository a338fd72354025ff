#include "parts.hpp"

#include <array>
#include <concepts>
#include <functional>
#include <memory>
#include <sstream>
#include <utility>
#include <variant>
#include <vector>

namespace {

// Vectors whose sums and products are worked out element by element, at compile time as types.
template <typename E>
concept Expression = requires(const E &e, std::size_t i) {
    { e[i] } -> std::convertible_to<double>;
    { e.size() } -> std::same_as<std::size_t>;
};

template <Expression L, Expression R, typename Operation>
struct Binary {
    const L &left;
    const R &right;
    double operator[](std::size_t i) const { return Operation{}(left[i], right[i]); }
    std::size_t size() const { return left.size(); }
};

class Vector {
public:
    explicit Vector(std::size_t n, double first = 0) : values(n, first) {}

    template <Expression E>
    Vector &operator=(const E &e)
    {
        for (std::size_t i = 0; i < values.size(); i++)
            values[i] = e[i];
        return *this;
    }

    double operator[](std::size_t i) const { return values[i]; }
    double &operator[](std::size_t i) { return values[i]; }
    std::size_t size() const { return values.size(); }

private:
    std::vector<double> values;
};

template <Expression L, Expression R>
Binary<L, R, std::plus<>> operator+(const L &l, const R &r) { return {l, r}; }
template <Expression L, Expression R>
Binary<L, R, std::multiplies<>> operator*(const L &l, const R &r) { return {l, r}; }

// A syntax tree of variants.
struct Number { long value; };
struct Sum;
struct Product;
using Tree = std::variant<Number, std::unique_ptr<Sum>, std::unique_ptr<Product>>;
struct Sum { std::vector<Tree> terms; };
struct Product { Tree left, right; };

template <typename... Fs>
struct Overloaded : Fs... { using Fs::operator()...; };

Tree grow(Random &random, int depth)
{
    if (depth == 0 || random.below(8) == 0)
        return Number{static_cast<long>(random.below(9))};
    if (random.below(2))
        return std::make_unique<Product>(Product{grow(random, depth - 1), grow(random, depth - 1)});
    auto sum = std::make_unique<Sum>();
    for (std::uint64_t i = 0; i <= random.below(4); i++)
        sum->terms.push_back(grow(random, depth - 1));
    return sum;
}

long value(const Tree &tree)
{
    return std::visit(
        Overloaded{
            [](const Number &n) { return n.value; },
            [](const std::unique_ptr<Sum> &sum) {
                long total = 0;
                for (const auto &term : sum->terms)
                    total += value(term);
                return total % 1000003;
            },
            [](const std::unique_ptr<Product> &p) { return value(p->left) * value(p->right) % 1000003; },
        },
        tree);
}

template <std::size_t N>
constexpr auto primes()
{
    std::array<unsigned, N> found{};
    std::size_t count = 0;
    for (unsigned n = 2; count < N; n++) {
        bool prime = true;
        for (std::size_t i = 0; i < count && found[i] * found[i] <= n; i++)
            prime = prime && n % found[i];
        if (prime)
            found[count++] = n;
    }
    return found;
}

template <unsigned N>
struct Fibonacci { static constexpr unsigned long value = Fibonacci<N - 1>::value + Fibonacci<N - 2>::value; };
template <>
struct Fibonacci<1> { static constexpr unsigned long value = 1; };
template <>
struct Fibonacci<0> { static constexpr unsigned long value = 0; };

template <unsigned... N>
unsigned long all(std::integer_sequence<unsigned, N...>)
{
    return (Fibonacci<N>::value ^ ...);
}

} // namespace

std::string expressions()
{
    std::ostringstream out;
    Vector a(3000, 1.5), b(3000, 2.0), c(3000), d(3000, 0.25);
    for (int round = 0; round < 50; round++) {
        c = a * b + d * a + (a + b) * d;
        a[static_cast<std::size_t>(round)] += c[static_cast<std::size_t>(round * 2)];
    }
    out << c[0] << ' ' << c[40] << ' ';
    Random random(77);
    for (int i = 0; i < 12; i++)
        out << value(grow(random, 13)) << ' ';
    constexpr auto table = primes<600>();
    out << table.back() << ' ' << all(std::make_integer_sequence<unsigned, 80>{}) << '\n';
    return out.str();
}
