/* Go asks bcryptprimitives.dll for random bytes; Wine before 9 has no such library. For tests only. */
#include <windows.h>

BOOLEAN NTAPI SystemFunction036(PVOID buffer, ULONG length); /* RtlGenRandom, in advapi32 */

__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE data, SIZE_T left)
{
    for (ULONG n; left > 0; data += n, left -= n) {
        n = left < 65536 ? (ULONG)left : 65536;
        if (!SystemFunction036(data, n))
            return FALSE;
    }
    return TRUE;
}

BOOL WINAPI DllMain(HINSTANCE dll, DWORD why, LPVOID reserved) { return TRUE; }
