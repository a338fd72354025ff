/* The header stands on its own and is strict C99 and C++11; compiled, never run. */
#include <aloof.h>

int main(void)
{
    return ALOOF_TIERS == 5 && sizeof(aloof_stats_t) == 10 * 8 + 5 * sizeof(aloof_tier_stats_t) ? 0 : 1;
}
