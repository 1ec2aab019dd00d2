// C++ that throws through many frames, destroys on the way, and uses the library's own deep code.
// Build: g++ -O2 -fomit-frame-pointer
#include <algorithm>
#include <map>
#include <memory>
#include <regex>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

static volatile unsigned long sink;

struct Guard {
	explicit Guard(int n) : text(std::to_string(n)) {}
	~Guard() { sink = sink + text.size(); }
	std::string text;
};

struct Base {
	virtual ~Base() = default;
	virtual long turn(int depth) = 0;
};

[[gnu::noinline]] static long descend(Base &base, int depth)
{
	Guard guard(depth);
	return base.turn(depth - 1) + static_cast<long>(guard.text.size());
}

struct Throws : Base {
	long turn(int depth) override
	{
		if (depth <= 0)
			throw std::runtime_error("the end of it");
		std::vector<int> numbers(32, depth);
		for (size_t i = 0; i < numbers.size(); i++)
			numbers[i] = static_cast<int>((i * 2654435761u) % 97);
		std::sort(numbers.begin(), numbers.end(), [](int a, int b) { return a % 13 < b % 13; });
		return numbers[0] + descend(*this, depth);
	}
};

[[gnu::noinline]] static void catches(int depth)
{
	try {
		Throws throws;
		descend(throws, depth);
	} catch (const std::logic_error &) {
		sink = sink + 1;
	}
}

[[gnu::noinline]] static void library()
{
	static const std::regex pattern("([a-z]+)-([0-9]+)(;|$)");
	std::ostringstream text;
	std::map<std::string, int> counts;
	for (int i = 0; i < 20; i++)
		text << "name-" << i << ";";
	const std::string all = text.str();
	for (std::sregex_iterator it(all.begin(), all.end(), pattern), end; it != end; ++it)
		counts[(*it)[1]] += std::stoi((*it)[2]);
	sink = sink + counts.size();
}

int main()
{
	for (;;) {
		try {
			catches(20);
		} catch (const std::exception &error) {
			sink = sink + error.what()[0];
		}
		library();
	}
}
