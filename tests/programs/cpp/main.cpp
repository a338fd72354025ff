#include "parts.hpp"

#include <iostream>

int main()
{
    std::cout << containers() << expressions() << text() << threads();
}
