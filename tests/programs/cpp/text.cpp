#include "parts.hpp"

#include <algorithm>
#include <charconv>
#include <iomanip>
#include <map>
#include <optional>
#include <sstream>
#include <string_view>
#include <vector>

namespace {

struct Assignment {
    std::string_view key, value;
    bool quoted;
};

std::string_view trim(std::string_view text)
{
    const auto first = text.find_first_not_of(" \t");
    return first == text.npos ? std::string_view{} : text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

std::optional<Assignment> parse(std::string_view line)
{
    const auto equals = line.find('=');
    const auto note = line.find(';');
    if (equals == line.npos || note == line.npos)
        return std::nullopt;
    auto value = trim(line.substr(equals + 1, note - equals - 1));
    const bool quoted = value.size() >= 2 && value.front() == '"' && value.back() == '"';
    if (quoted)
        value = value.substr(1, value.size() - 2);
    return Assignment{trim(line.substr(0, equals)), value, quoted};
}

template <typename Range, typename Compare>
void order(Range &range, Compare compare)
{
    std::stable_sort(range.begin(), range.end(), compare);
    range.erase(std::unique(range.begin(), range.end()), range.end());
}

} // namespace

std::string text()
{
    Random random(11);
    std::ostringstream source;
    for (int line = 0; line < 30000; line++) {
        source << "key" << random.below(90) << " = ";
        if (random.below(2))
            source << '"' << std::string(random.below(30), static_cast<char>('a' + random.below(26))) << '"';
        else
            source << std::fixed << std::setprecision(2) << static_cast<double>(random.below(100000)) / 100;
        source << " ; note " << line << '\n';
    }

    std::map<std::string, std::vector<std::string>, std::less<>> values;
    std::istringstream in(source.str());
    double sum = 0;
    for (std::string line; std::getline(in, line);) {
        const auto found = parse(line);
        if (!found)
            continue;
        if (double number = 0; !found->quoted) {
            std::from_chars(found->value.data(), found->value.data() + found->value.size(), number);
            sum += number;
        }
        values[std::string(found->key)].emplace_back(found->value);
    }

    std::ostringstream out;
    for (auto &[key, list] : values) {
        order(list, [](std::string_view a, std::string_view b) {
            return a.size() != b.size() ? a.size() < b.size() : a < b;
        });
        out << std::setw(6) << key << ':' << list.size() << ':' << list.back() << '\n';
    }
    out << std::setprecision(10) << sum << '\n';
    return out.str();
}
