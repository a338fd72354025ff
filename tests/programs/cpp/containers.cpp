#include "parts.hpp"

#include <algorithm>
#include <deque>
#include <list>
#include <map>
#include <memory>
#include <numeric>
#include <optional>
#include <queue>
#include <ranges>
#include <set>
#include <sstream>
#include <tuple>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace {

using Key = std::tuple<int, std::string, std::pair<long, char>>;

template <typename Map>
std::size_t churn(std::uint64_t seed)
{
    Random random(seed);
    Map map;
    std::size_t sum = 0;
    for (int i = 0; i < 20000; i++) {
        auto number = static_cast<int>(random.below(700));
        map[number].emplace_back(std::to_string(number * i));
        if (i % 9 == 0)
            sum += map.erase(static_cast<int>(random.below(700)));
    }
    std::vector<std::pair<int, std::size_t>> sizes;
    for (const auto &[key, list] : map)
        sizes.emplace_back(key, list.size());
    std::ranges::sort(sizes, std::greater<>{});
    for (const auto &[key, size] : sizes)
        sum = sum * 31 + static_cast<std::size_t>(key) + size;
    return sum;
}

template <typename T>
class Tree {
public:
    void insert(T value) { place(value) = std::make_unique<Node>(std::move(value)); }

    template <typename Visit>
    void each(Visit visit) const { walk(root.get(), visit); }

private:
    struct Node {
        explicit Node(T v) : value(std::move(v)) {}
        T value;
        std::unique_ptr<Node> left, right;
    };

    std::unique_ptr<Node> &place(const T &value)
    {
        auto *at = &root;
        while (*at)
            at = value < (*at)->value ? &(*at)->left : &(*at)->right;
        return *at;
    }

    template <typename Visit>
    static void walk(const Node *node, Visit &visit)
    {
        if (!node)
            return;
        walk(node->left.get(), visit);
        visit(node->value);
        walk(node->right.get(), visit);
    }

    std::unique_ptr<Node> root;
};

std::size_t shared_lists()
{
    std::list<std::shared_ptr<std::string>> list;
    std::deque<std::weak_ptr<std::string>> watchers;
    for (int i = 0; i < 5000; i++) {
        auto item = std::make_shared<std::string>(static_cast<std::size_t>(i % 100), 'x');
        watchers.emplace_front(item);
        if (i % 4)
            list.push_back(std::move(item));
    }
    list.remove_if([](const auto &item) { return item->size() % 2; });
    return static_cast<std::size_t>(std::ranges::count_if(watchers, [](const auto &w) { return !w.expired(); }));
}

} // namespace

std::string containers()
{
    std::ostringstream out;
    out << churn<std::map<int, std::vector<std::string>>>(1) << ' ';
    out << churn<std::unordered_map<int, std::deque<std::string>>>(2) << ' ';
    out << churn<std::map<int, std::list<std::string>, std::greater<>>>(3) << '\n';

    Random random(4);
    std::set<Key> keys;
    Tree<Key> tree;
    for (int i = 0; i < 4000; i++) {
        Key key{static_cast<int>(random.below(50)), std::to_string(random.below(1000)), {i % 17, 'k'}};
        keys.insert(key);
        tree.insert(std::move(key));
    }
    std::size_t visited = 0, length = 0;
    tree.each([&](const Key &key) { visited++, length += std::get<1>(key).size(); });
    out << keys.size() << ' ' << visited << ' ' << length << '\n';

    auto evens = std::views::iota(1, 40000) | std::views::filter([](int n) { return n % 2 == 0; })
        | std::views::transform([](int n) { return static_cast<long>(n) * n; }) | std::views::take(9000);
    std::priority_queue<long, std::vector<long>, std::greater<>> queue;
    for (long n : evens)
        queue.push(n % 7919);
    std::optional<long> first;
    while (queue.size() > 100) {
        first = queue.top();
        queue.pop();
    }
    std::unordered_set<std::string> words;
    for (int i = 0; i < 9000; i++)
        words.insert(std::string(static_cast<std::size_t>(i % 40), 'a') + std::to_string(i % 3000));
    out << first.value_or(-1) << ' ' << words.size() << ' ' << shared_lists() << '\n';
    return out.str();
}
